"""What is kept, what is dropped, in which order, and with which reasons."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from foveal.choose import choose, study_text
from foveal.core import registry
from foveal.core.errors import FovealError
from foveal.surgery.hosts import host_input, load_host
from foveal.surgery.insert import insert

CNN = "builtin:small_cnn"


def chosen(model=CNN, **options):
    return choose(model, progress=False, **options)


def at(entries, mechanism, where=None):
    (found,) = [e for e in entries if e.mechanism == mechanism and where in (None, e.where)]
    return found


def test_every_mechanism_has_an_entry_with_a_status_and_a_reason(ratios):
    found = chosen(measure=3)
    assert {e.mechanism for e in found.entries} == set(registry.list_attentions())
    assert all(e.reasons for e in found.entries)
    counts = [found.kept, found.not_measured, found.by_hand, found.dropped]
    assert sum(map(len, counts)) == len(found.entries)
    assert [e.rank for e in found.kept] == list(range(1, len(found.kept) + 1))
    assert len({e.mechanism for e in found.kept}) == 3
    json.dumps(found.as_dict())


def test_stated_costs_are_what_an_insertion_adds(ratios):
    found = chosen(mechanisms=["cbam", "mhsa"], where=["stage_ends"])
    for name in ("cbam", "mhsa"):
        host = load_host(CNN)
        report = insert(host, name, where="stage_ends", example_input=host_input(CNN))
        assert at(found.kept, name).parameters == report.parameters_added
    unmeasured = chosen(mechanisms=["cbam"], where=["stage_ends"], parameters=1).dropped[0]
    assert unmeasured.parameters == at(found.kept, "cbam").parameters


def test_parameters_above_the_budget_are_dropped_with_both_numbers(ratios):
    found = chosen(mechanisms=["eca", "mhsa"], where=["last_stage"], parameters="1%")
    allowed = int(0.01 * found.bare["parameters"])
    mhsa = at(found.dropped, "mhsa")
    assert (mhsa.group, mhsa.timing) == ("parameters", None)  # nothing was run for it
    assert (
        f"adds {mhsa.parameters:,} parameters, above the budget of {allowed:,}"
        in (mhsa.reasons[-1])
    )
    assert at(found.kept, "eca").parameters <= allowed


def test_time_above_the_budget_is_dropped_whatever_the_prior_says(ratios):
    ratios[type(registry.create_attention("se", 8)).__name__] = 1.5
    found = chosen(mechanisms=["se", "simam"], where=["every_block"], latency="1.2x")
    dropped = at(found.dropped, "se")
    assert dropped.prior > 0
    assert (
        "1.500 [1.495, 1.505] times the bare host's time, above the budget of 1.2"
        in (dropped.reasons[-1])
    )
    assert "overrules the prior" in dropped.reasons[-1]
    assert at(found.kept, "simam").timing.ratio == 1.01


def test_a_dropped_mechanism_is_tried_at_a_cheaper_place(ratios):
    ratios["CBAM"] = 1.5  # wherever it is
    found = chosen(mechanisms=["cbam"], latency="1.2x")
    assert {e.where for e in found.dropped} > {"every_block"}
    assert not found.kept


def test_milliseconds_are_of_the_whole_model_and_added_for_a_shape(ratios):
    ratios["SimAM"] = 1.5  # 15 ms with it, 10 ms without
    (entry,) = chosen(mechanisms=["simam"], where=["last_stage"], latency="14ms").dropped
    assert "takes 15 ms, above the budget of 14 ms" in entry.reasons[-1]
    assert chosen((8, 6, 6), mechanisms=["simam"], latency="14ms").kept
    (entry,) = chosen((8, 6, 6), mechanisms=["simam"], latency="4ms").dropped
    assert "adds 5 ms, above the budget of 4 ms" in entry.reasons[-1]
    with pytest.raises(FovealError, match=r"alone takes 10 ms .* above the budget of 9 ms"):
        chosen(mechanisms=["simam"], latency="9ms")


def test_memory_is_counted(ratios):
    needs = {e.mechanism: e.memory for e in chosen((8, 40, 40), mechanisms=["eca", "vip"]).kept}
    assert needs["eca"] < needs["vip"]
    found = chosen((8, 40, 40), mechanisms=["eca", "vip"], memory=needs["eca"])
    assert at(found.kept, "eca")
    assert "a forward pass holds" in at(found.dropped, "vip").reasons[-1]
    with pytest.raises(FovealError, match=r"8×40×40 alone holds .*above the budget of 1 kB"):
        chosen((8, 40, 40), memory="1kB")


def test_the_prior_orders_what_costs_the_same_and_cost_overrules_it(ratios):
    several = {"mechanisms": ["eca", "srm"], "runtime": "mobile"}
    assert [e.mechanism for e in chosen((8, 6, 6), **several).kept] == ["eca", "srm"]
    ratios["ECA"] = 2.0
    found = chosen((8, 6, 6), **several)
    assert [e.mechanism for e in found.kept] == ["srm", "eca"]
    assert "what it costs weighs more than the prior" in at(found.kept, "eca").reasons[-1]


def test_what_the_prior_disfavours_is_kept_where_it_is_cheap_and_said_so(ratios):
    (entry,) = chosen((8, 6, 6), mechanisms=["ca_channel"]).kept
    assert entry.prior < 0
    assert "measurement overrules that: it is cheap" in entry.reasons[-1]
    ratios[type(registry.create_attention("ca_channel", 8)).__name__] = 1.4
    (entry,) = chosen((8, 6, 6), mechanisms=["ca_channel"]).kept
    assert "it is cheap" not in " ".join(entry.reasons)


@pytest.mark.parametrize(
    ("runtime", "law", "out"),
    [
        ("onnx", "onnx", True),
        ("onnx", "export", True),
        ("mobile", "export", True),
        ("torch.compile", "compile", True),
        ("torch.compile", "onnx", False),
        ("torch", "export", False),
    ],
)
def test_a_declared_limit_drops_for_the_runtimes_that_need_the_law(
    monkeypatch, ratios, runtime, law, out
):
    card = replace(registry.attention_info("eca"), limits={law: "it sorts by hand"})
    monkeypatch.setitem(registry._cards, "eca", card)
    found = chosen((8, 6, 6), mechanisms=["eca"], runtime=runtime)
    assert bool(found.dropped) is out
    if out:
        (reason,) = found.dropped[0].reasons
        assert reason.endswith(f"does not keep the law {law}: it sorts by hand")


def test_videos_and_two_inputs(ratios):
    names = ["temporal", "cross_attention", "external"]
    found = chosen((2, 8, 6, 6), task="video", mechanisms=names)
    assert {e.mechanism for e in found.kept} == {"temporal", "external"}
    assert "needs context" in at(found.by_hand, "cross_attention").reasons[0]
    assert at(chosen((8, 6, 6), mechanisms=names).dropped, "temporal").group == "no time axis"
    by_hand = chosen((8, 6, 6), task="video", mechanisms=names).by_hand
    assert {e.mechanism for e in by_hand} == {"temporal", "cross_attention"}


def test_what_no_output_depends_on_is_dropped(ratios):
    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.side = nn.Conv2d(8, 8, 3)

        def forward(self, x):
            y = self.stem(x)
            self.side(y)
            return y.mean((2, 3))

    model, x = Deaf(), torch.rand(1, 3, 12, 12)
    (entry,) = chosen(model, mechanisms=["se"], where=["side"], example_input=x).dropped
    assert entry.group == "not heard"
    (entry,) = chosen(
        model, task="segmentation", mechanisms=["se"], where=["side"], example_input=x
    ).kept
    assert entry.heard is False
    assert "a study of the host as it is would see nothing" in " ".join(entry.reasons)
    assert not list(model.side.children())  # the user's model is as it was


def test_channels_that_a_mechanism_refuses(ratios):
    (entry,) = chosen((7, 6, 6), mechanisms=["shuffle"]).dropped
    assert entry.group == "does not fit"
    assert "with 7 channels" in entry.reasons[-1]


def test_out_of_time(ratios):
    found = chosen(mechanisms=["eca", "se"], seconds=1e-9)
    assert not found.kept
    assert any("ran out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (CNN, {"task": "segmentatoin"}, "did you mean segmentation"),
        (CNN, {"runtime": "onxx"}, "did you mean onnx"),
        (CNN, {"memory": "8 apples"}, "memory='8 apples'"),
        (CNN, {"measure": 0}, "measure=0 must be at least 1"),
        (CNN, {"seconds": 0}, "seconds=0 must be above 0"),
        (CNN, {"mechanisms": ["ecaa"]}, "did you mean eca"),
        (CNN, {"mechanisms": []}, "names none"),
        (CNN, {"where": ["nowhere"]}, "nowhere"),
        ("256x80", {}, "shape '256x80' must be CxHxW"),
        ((8, 0, 8), {}, "must be positive and whole"),
        ((8, 8, 8), {"size": 9}, "has its sizes already"),
        ((8, 8, 8), {"where": ["last_stage"]}, "a shape is one place"),
        (7, {}, "must be a model"),
    ],
)
def test_bad_values_name_the_rule(model, options, said):
    with pytest.raises(FovealError) as error:
        chosen(model, **options)
    assert said in str(error.value)


def test_a_study_needs_a_model_and_something_kept(ratios):
    with pytest.raises(FovealError, match="load by name"):
        study_text(chosen((8, 6, 6), mechanisms=["eca"]))
    with pytest.raises(FovealError, match="nothing was kept that a study could see"):
        study_text(chosen(mechanisms=["mhsa"], parameters=1))


def test_nothing_is_said_about_accuracy(ratios):
    found = chosen(mechanisms=["eca"], task="detection")
    assert "Nothing here is about accuracy" in found.notes[0]
    assert any("a study trains classifiers" in note for note in found.notes)
