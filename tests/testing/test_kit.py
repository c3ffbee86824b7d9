"""The kit as a product: results as data, excuses, skips, third parties' modules, pytest's ids."""

import sys
from math import isqrt

import pytest
import torch
from faulty_modules import FAULTS, Honest, SquareOnly
from torch import nn

from foveal import FovealError, Map
from foveal.core import registry
from foveal.testing import ConformanceError, Result, check_attention, parametrize_with_checks
from foveal.testing.subject import Subject

QUICK = ("shape", "input_untouched", "independent", "learning")


class SevenOnly(nn.Module):
    """A gate in windows of `window_size`, which must divide height and width."""

    def __init__(self, channels: int, window_size: int):
        super().__init__()
        self.window_size = window_size
        self.layer = nn.Conv2d(channels, channels, window_size, stride=window_size)

    def attention_map(self, x: Map):
        gates = self.layer(x).sigmoid()
        return nn.functional.interpolate(gates, scale_factor=self.window_size)

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)


def test_error_has_every_broken_law_and_every_result():
    with pytest.raises(ConformanceError, match=r"SquareOnly breaks 1 law:\n  shape: 6×9") as raised:
        check_attention(SquareOnly, laws=QUICK)
    statuses = {result.check: result.status for result in raised.value.results}
    assert statuses == dict.fromkeys(QUICK, "passed") | {"shape": "broken"}


def test_results_are_data():
    results = check_attention("eca", laws=["shape"])
    assert results == [Result("shape", "passed")]
    assert results[0].as_dict() == {"check": "shape", "status": "passed", "reason": ""}


def test_excused_law_is_reported_with_the_excuse_and_the_others_still_count():
    results = check_attention(
        SevenOnly, window_size=7, expected={"shape": "needs H, W divisible by 7"}
    )
    found = {r.check: r for r in results}
    assert found["shape"] == Result("shape", "excused", "needs H, W divisible by 7")
    kept = {"independent", "learning", "precision", "export", "onnx", "insertion", "attention_map"}
    assert {found[law].status for law in kept} == {"passed"}


def test_excuse_that_has_outlived_the_fault_is_itself_a_fault():
    with pytest.raises(ConformanceError, match=r"excused \(square only\), yet kept"):
        check_attention(Honest, laws=QUICK, expected={"shape": "square only"})


def test_limits_of_a_card_are_excuses_and_must_be_true(monkeypatch):
    monkeypatch.setattr(registry, "_cards", dict(registry._cards))
    for cls, limits in ((SquareOnly, {"shape": "square"}), (Honest, {"learning": "untrue"})):
        register = registry.register_attention(
            "limited", paper="Somebody, 2020", family="channel", limits=limits
        )
        copy = type("Limited", (cls,), {"__doc__": cls.__doc__})
        register(copy)
        if cls is SquareOnly:
            statuses = {r.check: r.status for r in check_attention("limited", laws=QUICK)}
            assert statuses["shape"] == "excused"
        else:
            with pytest.raises(ConformanceError, match="learning: excused"):
                check_attention("limited", laws=QUICK)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_onnx_without_its_extra_is_skipped_and_not_passed(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    (result,) = check_attention("eca", laws=["onnx"])
    assert result.status == "skipped"
    assert f"{missing} is not installed" in result.reason
    assert "foveal[onnx]" in result.reason


def test_skipped_law_does_not_use_up_an_excuse(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (result,) = check_attention("eca", laws=["onnx"], expected={"onnx": "never tried"})
    assert result.status == "skipped"


def test_factory_without_an_annotation_speaks_maps():
    def conv(channels: int) -> nn.Module:
        return nn.Conv2d(channels, channels, 1)

    results = check_attention(conv, laws=["shape", "learning"])
    assert [r.status for r in results] == ["passed", "passed"]


def test_class_that_is_registered_has_its_card():
    subject = Subject(registry.attention_info("eca").cls, {})
    assert subject.card is registry.attention_info("eca")


def test_unknown_law_is_refused_with_the_near_ones():
    with pytest.raises(FovealError, match="did you mean shape"):
        check_attention("eca", laws=["shapes"])
    with pytest.raises(FovealError, match=r"eca excuses 'onxx'.*did you mean onnx"):
        check_attention("eca", expected={"onxx": "typing"})


def test_module_that_cannot_be_built_breaks_the_laws_and_says_why():
    def build(channels: int) -> nn.Module:
        raise RuntimeError("no such layer")

    with pytest.raises(ConformanceError, match="gradcheck: RuntimeError: no such layer"):
        check_attention(build)


def test_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    check_attention("eca", laws=QUICK)
    assert torch.equal(torch.rand(3), wanted)


def test_sizes_are_those_that_the_mechanism_takes():
    assert Subject(SevenOnly, {"window_size": 7}).sizes == [(14, 14), (14, 28), (28, 14), (28, 28)]
    square = Subject(SquareOnly, {}).sizes
    assert all(isqrt(h * w) ** 2 == h * w for h, w in square)


def test_there_are_twenty_faulty_modules_at_least():
    assert len({fault.cls for fault in FAULTS}) >= 20


def test_pytest_ids_and_outcomes(pytester: pytest.Pytester):
    pytester.makepyfile(
        mechanisms="""
        from torch import nn
        from foveal import Map

        class Plain(nn.Conv2d):
            '''A convolution: it has no map to show.'''
            def __init__(self, channels):
                super().__init__(channels, channels, 1)
            def forward(self, x: Map) -> Map:
                return super().forward(x)
        """,
        test_it="""
        from foveal.testing import parametrize_with_checks
        from mechanisms import Plain

        @parametrize_with_checks(Plain, expected={"attention_map": "it has no map"})
        def test_conformance(check):
            check()

        @parametrize_with_checks(Plain, expected={"shape": "a lie"})
        def test_lie(check):
            check()
        """,
    )
    cheap = "shape or attention_map or card"
    outcome = pytester.runpytest("-k", cheap, "-rA", "-p", "no:cacheprovider")
    text = outcome.stdout.str()
    assert "PASSED test_it.py::test_conformance[Plain-shape]" in text
    assert "XFAIL test_it.py::test_conformance[Plain-attention_map] - it has no map" in text
    assert "FAILED test_it.py::test_lie[Plain-shape]" in text
    assert "excused (a lie), yet kept" in text
    outcome.assert_outcomes(passed=1, xfailed=1, failed=2, skipped=2)


def test_default_is_the_whole_registry():
    mark = parametrize_with_checks().mark
    ids = [case.id for case in mark.args[1]]
    assert "eca-shape" in ids
    assert {i.rsplit("-", 1)[0] for i in ids} == set(registry.list_attentions())
    assert "eca-set" not in ids  # a law of tokens, and ECA speaks maps
