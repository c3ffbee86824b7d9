"""A study of detection: the same host and batches for all variants of a seed, and its verdicts."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from foveal.core.errors import FovealError
from foveal.study.config import StudyConfig, VariantConfig, load_config
from foveal.study.records import load_study
from foveal.study.run import run_study
from foveal.study.variants import attention_variant, baseline, control, mechanisms
from foveal.yolo.dataset import make_dataset
from foveal.yolo.study_config import DetectionConfig, DetectionTraining

pytest.importorskip("ultralytics")

VARIANT = VariantConfig("cbam", where="sppf")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DetectionConfig:
    data = make_dataset(tmp_path_factory.mktemp("study") / "set", images=24, size=64).data
    return DetectionConfig(
        "tiny",
        [VARIANT],
        seeds=2,
        model="yolov8n.yaml",
        data=str(data),
        training=DetectionTraining(
            epochs=1, image_size=64, batch_size=8, arguments={"warmup_epochs": 0, "nbs": 8}
        ),
    )


def test_a_yaml_of_detection_is_told_from_one_of_classification(tmp_path: Path):
    path = tmp_path / "study.yaml"
    content = {
        "name": "shapes",
        "model": "yolov8n.yaml",
        "data": "shapes/data.yaml",
        "variants": [{"attention": "eca", "where": "neck.out"}],
        "training": {"epochs": 3, "arguments": {"mosaic": 0}},
    }
    path.write_text(yaml.safe_dump(content))
    config = load_config(path)
    assert isinstance(config, DetectionConfig)
    assert config.training.arguments == {"mosaic": 0}
    assert config.other_metrics == ("mAP50",)
    assert type(load_config()) is StudyConfig


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "mAP"}, r":\d+: there is no metric 'mAP'; did you mean mAP50"),
        ({"model": "yolov8n"}, r":\d+: model='yolov8n' must end in"),
        ({"data": "https://example.org/coco.yaml"}, "nothing is downloaded unasked"),
        ({"training": {"arguments": {"seed": 3}}}, "'seed' cannot be among the arguments"),
        ({"training": {"optimizer": "auto"}}, "optimizer=auto"),
        ({"without_controls": ["smaller"]}, "there is: frozen, matched, larger"),
        ({"trainng": {}}, "did you mean training"),
    ],
)
def test_mistakes_are_told_with_their_line(change: dict, words: str, tmp_path: Path):
    path = tmp_path / "study.yaml"
    content = {"name": "s", "model": "yolov8n.yaml", "data": "d.yaml"} | change
    path.write_text(yaml.safe_dump(content | {"variants": [{"attention": "eca"}]}))
    with pytest.raises(FovealError, match=words):
        load_config(path)


def test_what_cannot_work_is_refused_before_anything_trains(config: DetectionConfig):
    for change, words in (
        ({"data": "nowhere/data.yaml"}, "could not read the dataset"),
        ({"model": "yolov8n-seg.yaml"}, "does not detect boxes"),
        ({"variants": [VariantConfig("eca", where="backbone.p9")]}, "variant eca: .*p9"),
    ):
        with pytest.raises(FovealError, match=words):
            replace(config, **change).prepare()


def test_a_dataset_that_would_be_downloaded_is_refused(config: DetectionConfig, tmp_path: Path):
    path = tmp_path / "data.yaml"
    text = "train: images/train\nval: images/val\nnames: [a]\ndownload: https://example.org/a.zip\n"
    path.write_text(text)
    with pytest.raises(FovealError, match="nothing is downloaded unasked"):
        replace(config, data=str(path)).prepare()


def test_every_seed_takes_effect_and_is_the_same_for_all_variants(config: DetectionConfig):
    few = replace(config, without_controls=["matched", "larger"])
    expected = few.prepare().pairing
    assert expected["0"]["host"] != expected["1"]["host"]
    assert expected["0"]["order"] != expected["1"]["order"]
    asked = attention_variant(VARIANT)
    bare = few.run(baseline(), 0, lambda epoch: None)
    attended = few.run(asked, 0, lambda epoch: None)
    other = few.run(baseline(), 1, lambda epoch: None)
    for run in (bare, attended, other):
        assert run.host_hash == expected[str(run.seed)]["host"]
        assert run.order_hash == expected[str(run.seed)]["order"]
    # not the first batches alone: all of the run
    assert bare.details["batches"] == attended.details["batches"] == 2
    assert bare.details["batches_hash"] == attended.details["batches_hash"]
    assert bare.details["batches_hash"] != other.details["batches_hash"]
    assert attended.history != bare.history  # and the mechanism did something
    again = few.run(baseline(), 0, lambda epoch: None)
    assert replace(again, seconds=0, details={}) == replace(bare, seconds=0, details={})
    assert set(bare.details["tables"]["mAP50-95 by size"]) == {"small", "medium", "large"}


def test_frozen_gates_stay_and_the_host_learns(config: DetectionConfig):
    from foveal.yolo.study_host import build_variant
    from foveal.yolo.study_trainer import in_silence, trainer_for

    variant = control(attention_variant(VARIANT), "frozen")
    network = build_variant(config, variant, 0).network
    before = {name: value.clone() for name, value in network.named_parameters()}
    with in_silence(), tempfile.TemporaryDirectory() as folder:
        trainer_for(config, network, variant, 0, folder).train()
    ((path, mechanism),) = mechanisms(network).items()
    after = dict(network.named_parameters())
    ours = [name for name in before if name.startswith(path) and ".attention." in name]
    assert len(ours) == len(list(mechanism.parameters())) > 0
    assert all(torch.equal(before[name], after[name]) for name in ours)
    assert not torch.equal(before["model.0.conv.weight"], after["model.0.conv.weight"])
    assert not torch.equal(before[f"{path}.strength"], after[f"{path}.strength"])


def test_the_next_larger_scale():
    from foveal.yolo.models import read_yaml
    from foveal.yolo.study_host import next_larger

    for name, above in (("yolov8n.yaml", "s"), ("yolo11l.yaml", "x"), ("yolov8x.yaml", None)):
        found = next_larger(read_yaml(name))
        assert (found and found["scale"]) == above
    for name, above in (("yolov10n.yaml", "yolov10s.yaml"), ("yolov9t.yaml", "yolov9s.yaml")):
        assert Path(next_larger(read_yaml(name))["yaml_file"]).name == above  # pyright: ignore


def test_the_example_is_read():
    config = load_config(Path(__file__).parents[2] / "examples/detection_study.yaml")
    assert isinstance(config, DetectionConfig)
    assert [v.label for v in config.variants] == ["cbam"]
    assert (config.data, len(config.seed_list)) == ("shapes/data.yaml", 3)


@pytest.mark.slow
def test_a_whole_study(config: DetectionConfig, tmp_path: Path):
    """All controls, resumed after a run was lost, with its report."""
    from foveal.report import write_report

    out = tmp_path / "study"
    study = run_study(config, out, workers=2, progress=False)
    assert study.complete
    roles = {variant.role for variant in study.variants}
    assert roles == {"none", "attention", "frozen", "matched", "larger"}
    assert "mAP50" in study.also
    lost = out / "runs" / "cbam-matched" / "seed-0001.json"
    before = lost.read_text()
    lost.unlink()
    resumed = run_study(config, out, resume=True, workers=1, progress=False)
    assert resumed.complete
    assert yaml.safe_load(before)["metric"] == yaml.safe_load(lost.read_text())["metric"]
    hashes = {(r.seed, r.details["batches_hash"]) for r in load_study(out).runs}
    assert len(hashes) == 2
    page = write_report(out)[0].read_text()
    for words in ("mAP50, judged too", "mAP50-95 by class", "mAP50-95 by size", "larger"):
        assert words in page
