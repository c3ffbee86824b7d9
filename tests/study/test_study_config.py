from pathlib import Path

import pytest

from foveal import FovealError
from foveal.study.config import StudyConfig, VariantConfig, load_config
from foveal.study.names import LONGEST, name_of
from foveal.study.power import outlook

GOOD = """\
name: try
variants:
  - attention: eca
    where: [stem, stages.0]
    options: {kernel_size: 5}
  - attention: se
training:
  epochs: 2
  learning_rate: 1e-3
seeds: [3, 5, 7]
"""


def test_defaults_are_filled_in(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(GOOD)
    config = load_config(path)
    assert config.training.learning_rate == 0.001  # YAML 1.1 takes 1e-3 for text
    assert config.training.batch_size == 64
    assert config.seed_list == [3, 5, 7]
    assert [v.label for v in config.variants] == ["eca", "se"]
    assert config.variants[0].options == {"kernel_size": 5}
    assert config.data.source == "digits"


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("    wher: stem", "    where: [stem, stages.0]", 4, "no key 'wher'; did you mean where?"),
        ("trainig:", "training:", 7, "no key 'trainig'; did you mean training?"),
        ("  epoch: 2", "  epochs: 2", 8, "no key 'epoch'; did you mean epochs?"),
        ("  epochs: two", "  epochs: 2", 8, "epochs='two' must be a whole number"),
        ("  epochs: 2.5", "  epochs: 2", 8, "epochs=2.5 must be a whole number"),
        ("  epochs: true", "  epochs: 2", 8, "epochs=True must be a whole number"),
        ("  epochs: 0", "  epochs: 2", 8, "epochs=0 must be above 0"),
        ("  learning_rate: .nan", "  learning_rate: 1e-3", 9, "learning_rate=nan must be above"),
        ("  - attention: ecaa", "  - attention: eca", 3, "did you mean eca"),
        ("    options: {kernel: 5}", "    options: {kernel_size: 5}", 5, "no option 'kernel'"),
        ("  - attention: eca > cord", "  - attention: se", 6, "eca > cord\n        ^^^^"),
        ("  - attention: eca > se", "  - attention: eca", 5, "is a mix and takes no option"),
        ("    options: [5]", "    options: {kernel_size: 5}", 5, "options must be keys"),
        ("  - attention: eca", "  - attention: se", 3, "would be called eca"),
        ("seeds: [3, 3]", "seeds: [3, 5, 7]", 10, "holds one twice"),
        ("seeds: 1", "seeds: [3, 5, 7]", 10, "at least 2"),
        ("seeds: [-1, 2]", "seeds: [3, 5, 7]", 10, "must lie in"),
        ("name: a/b", "name: try", 1, "must be letters"),
        ("nam: try", "name: try", 1, "did you mean name?"),
        ("seeds: 3\nseeds: 4", "seeds: [3, 5, 7]", 11, "stands twice"),
        ("model: {name: resnet18}", "seeds: [3, 5, 7]", 10, "timm:resnet18"),
        ("data: {source: folder}", "seeds: [3, 5, 7]", 10, "needs a root"),
        ("without_controls: [none]", "seeds: [3, 5, 7]", 10, "must stay"),
        ("without_controls: [matchd]", "seeds: [3, 5, 7]", 10, "no control 'matchd'"),
        ("data: {feedback_share: 1.0}", "seeds: [3, 5, 7]", 10, "feedback_share must be"),
        ("    anneal: {start: 0}", "    options: {kernel_size: 5}", 5, "start=0.0 must be above"),
        ("    anneal: {from: 5}", "    options: {kernel_size: 5}", 5, "no key 'from'"),
        ("alpha: 2", "seeds: [3, 5, 7]", 10, "alpha must lie"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, wrong, right, line, words):
    assert right in GOOD
    path = tmp_path / "study.yaml"
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(FovealError) as error:
        load_config(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("name: [", ": not YAML"),
        ("name: x", "the key 'variants' is missing"),
        ("- eca", "must be keys with values"),
        ("name: x\nvariants: []", "at least one mechanism"),
        ("name: x\nvariants: eca", "variants must be a list"),
    ],
)
def test_files_that_are_no_study(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(FovealError, match=words):
        load_config(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FovealError, match=r"nowhere\.yaml: No such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_the_controls_names_are_kept_free():
    with pytest.raises(FovealError, match="se-frozen"):
        StudyConfig("x", [VariantConfig("se"), VariantConfig("eca", name="se-frozen")])


def test_the_builtin_study_can_see():
    config = load_config()
    assert len(config.seed_list) >= 10
    assert len(config.variants) >= 3
    assert not config.without_controls
    assert not outlook(len(config.seed_list), len(config.variants)).blind


def test_a_mix_has_a_name_that_a_folder_can_have(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: try\nvariants:\n"
        "  - attention: eca>coord\n"
        "  - attention: sum(se | sa_spatial, weights=fixed(0.7, 0.3))\n"
        "  - attention: (se | sa_spatial) > coord\n"
    )
    assert [v.label for v in load_config(path).variants] == [
        "eca-then-coord",
        "sum-se+sa_spatial-weights-fixed-0.7-0.3",
        "se+sa_spatial-then-coord",
    ]


def test_mixes_that_would_share_a_name_are_refused():
    with pytest.raises(FovealError, match=r"would be called se\+coord-then-eca"):
        StudyConfig("x", [VariantConfig("(se | coord) > eca"), VariantConfig("se | coord > eca")])
    with pytest.raises(FovealError, match="would be called eca-then-coord"):
        StudyConfig("x", [VariantConfig("eca > coord"), VariantConfig("eca>coord")])


def test_long_notations_are_cut_and_told_apart():
    chains = [" > ".join(["coord"] * n) for n in (9, 10)]
    first, second = map(name_of, chains)
    assert first != second
    assert max(map(len, (first, second))) <= LONGEST
    assert first.startswith("coord-then-coord-then-")


def test_the_example_with_mixes_is_read_and_can_see():
    config = load_config(Path(__file__).parents[2] / "examples/mix_study.yaml")
    labels = ["se", "sa_spatial", "se-then-sa_spatial", "dynamic", "feedback"]
    assert [v.label for v in config.variants] == labels
    assert config.data.feedback_share > 0
    assert not outlook(len(config.seed_list), len(config.variants)).blind
