"""Each law is proved by modules that break it, and by honest ones that it leaves alone."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from faulty_modules import FAULTS, REGISTERED_FAULTS, Fault, Honest, HonestTokens
from torch import Tensor, nn

from foveal import Map, Tokens, Video, attention_info, list_attentions
from foveal.core import registry
from foveal.testing import LAWS, check_attention, examine
from foveal.testing.checks.learning import _require_derivative
from foveal.testing.law import BrokenLawError, Law
from foveal.testing.subject import Subject, stir

DEAR = {"compile", "export", "onnx", "cost"}
"""Laws that take about a second; of the others all are checked on every faulty module."""


@pytest.fixture
def scratch_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_cards", dict(registry._cards))


def broken(mechanism, laws) -> dict[str, str]:
    results = examine(mechanism, laws=laws)
    return {r.check: r.reason for r in results if r.status == "broken"}


def cheap_laws(cls: type[nn.Module]) -> list[str]:
    subject = Subject(cls, {})
    return [law.name for law in LAWS.values() if law.name not in DEAR and law.concerns(subject)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_seen_by_its_law_and_blamed_on_no_other(fault: Fault):
    found = broken(fault.cls, {*cheap_laws(fault.cls), fault.law})
    assert fault.law in found
    assert set(found) - {fault.law} == set(fault.also.split()), found


@pytest.mark.parametrize("fault", REGISTERED_FAULTS, ids=lambda fault: fault.id)
def test_fault_of_a_card(fault: Fault, scratch_registry):
    register = registry.register_attention("faulty", paper="Somebody, 2020", family="channel")
    register(fault.cls)
    assert set(broken("faulty", ["card", "cost", "refusal", "shape"])) == {
        fault.law,
        *fault.also.split(),
    }


def test_card_without_a_year_and_with_a_wrong_identifier(scratch_registry):
    register = registry.register_attention("faulty", paper="", arxiv="eca", family="channel")
    register(type("Copy", (Honest,), {"__doc__": Honest.__doc__}))
    reason = broken("faulty", ["card"])["card"]
    assert "names no year" in reason
    assert "'eca' is no identifier" in reason


def test_input_that_nobody_checks(scratch_registry):
    cls = type("Unchecked", (Honest,), {"__doc__": Honest.__doc__, "forward": Honest.forward})
    registry.register_attention("faulty", paper="Somebody, 2020", family="channel")(cls)
    cls.forward = Honest.forward
    reason = broken("faulty", ["refusal"])["refusal"]
    assert "an axis too few: IndexError" in reason
    assert "one channel: RuntimeError" in reason


def test_fused_kernel_that_is_wrong_off_the_happy_path():
    """A kernel that is right for a power of two of tokens, and otherwise by one part in fifty."""
    name = "_scaled_dot_product_flash_attention_for_cpu"
    with contextlib.closing(_library()) as library:
        true = torch.ops.aten._scaled_dot_product_attention_math

        def wrong(q, k, v, dropout_p=0.0, is_causal=False, *, attn_mask=None, scale=None):
            y = true(q, k, v, attn_mask, dropout_p, is_causal, scale=scale)[0]
            tokens = q.shape[-2]
            return y if tokens & (tokens - 1) == 0 else y * 1.02, q.new_zeros(q.shape[:-1])

        library.impl(name, wrong, "CPU")
        assert "the output at 6×9" in broken(HonestTokens, ["fused"])["fused"]
    assert broken(HonestTokens, ["fused"]) == {}


def test_fused_kernel_whose_gradient_is_wrong():
    name = "_scaled_dot_product_flash_attention_for_cpu_backward"
    with contextlib.closing(_library()) as library:

        def wrong(gradient, q, k, v, out, logsumexp, dropout_p, is_causal, **_):
            return torch.zeros_like(q), torch.zeros_like(k), gradient.clone()

        library.impl(name, wrong, "CPU")
        assert "gradient of the input" in broken(HonestTokens, ["fused"])["fused"]


class Showing(nn.Module):
    """A mechanism that shows something else than its map."""

    def __init__(self, mechanism: nn.Module, show: Callable[[Tensor], Tensor]):
        super().__init__()
        self.mechanism, self.show = mechanism, show

    def attention_map(self, x: Tensor) -> Tensor:
        """Values in (-∞, ∞): so wide a range that the rule for what forward used stands alone."""
        return self.show(self.mechanism.attention_map(x))  # pyright: ignore


class ShowingOnMaps(Showing):
    def forward(self, x: Map) -> Map:
        return self.mechanism(x)


class ShowingOnTokens(Showing):
    def forward(self, x: Tokens) -> Tokens:
        return self.mechanism(x)


class ShowingOnVideo(Showing):
    def forward(self, x: Video) -> Video:
        return self.mechanism(x)


SHOWING = {"map": ShowingOnMaps, "tokens": ShowingOnTokens, "video": ShowingOnVideo}


def sharpened(weights: Tensor) -> Tensor:
    """Squared; where they summed to 1 over the last axis, they do so again."""
    square = weights.square()
    sums = weights.sum(-1, keepdim=True)
    whole = weights.shape[-1] > 1 and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    return square / square.sum(-1, keepdim=True) if whole else square


def rolled(weights: Tensor) -> Tensor:
    """Moved by one along the longest axis but the batch's."""
    axis = max(range(1, weights.ndim), key=lambda i: weights.shape[i])
    return weights.roll(1, axis)


OF_EVERY_KIND = ["a2", "additive_swift", "cga", "coord", "crisscross", "dlka", "eca", "flatten"]
OF_EVERY_KIND += ["gc", "mhsa", "polarized", "sa_spatial", "shuffle", "simam", "sk", "swin"]
OF_EVERY_KIND += ["temporal"]


@pytest.mark.parametrize("show", [lambda weights: weights, sharpened, rolled, torch.ones_like])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OF_EVERY_KIND else pytest.mark.slow)
        for name in list_attentions(drop_in=True)
    ],
)
def test_false_map_of_a_registered_mechanism_is_seen(name, show):
    card = attention_info(name)
    showing = SHOWING[card.layout]

    def build(channels: int) -> nn.Module:
        return showing(card.cls(channels), show)

    found = broken(build, ["attention_map"])
    assert set(found) == ({"attention_map"} if show.__name__ != "<lambda>" else set())


def _library():
    class Closing(torch.library.Library):
        close = torch.library.Library._destroy

    return Closing("aten", "IMPL")


def test_every_law_is_proved_by_a_fault():
    elsewhere = {"refusal", "fused", "inputs"}  # the tests above, and of several inputs
    assert {fault.law for fault in FAULTS + REGISTERED_FAULTS} | elsewhere == set(LAWS)


def test_every_law_says_what_it_catches():
    assert all(isinstance(law, Law) and law.catches for law in LAWS.values())


@pytest.mark.parametrize("cls", [Honest, HonestTokens])
def test_honest_module_keeps_every_law(cls):
    results = check_attention(cls)
    skipped = {r.check for r in results if r.status == "skipped"}
    assert skipped <= {"card", "cost", "refusal", "fused"}
    assert {r.status for r in results} == {"passed", "skipped"}


def test_stirring_leaves_nothing_at_zero_and_no_variance_negative():
    module = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.PReLU())
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    stir(module)
    assert all((p.abs() > 1e-3).all() for p in module.parameters())
    assert (module[0].running_var > 0).all()
    assert (module[0].running_mean != 0).all()


def test_stirring_keeps_a_mask_a_mask():
    module = nn.Module()
    mask = torch.tensor([0.0, float("-inf"), 2.0])
    module.register_buffer("mask", mask.clone())
    stir(module)
    assert module.mask[:2].tolist() == mask[:2].tolist()
    assert module.mask[2] != 2


def test_a_bend_within_the_step_is_no_wrong_derivative():
    place = torch.tensor([3e-7], dtype=torch.float64)
    direction = torch.ones(1, dtype=torch.float64)

    def result():
        return place.relu().sum()

    _require_derivative("it", result, place, direction, torch.tensor(1.0).double())
    with pytest.raises(BrokenLawError, match=r"derivative of 0\.9"):
        _require_derivative("it", result, place, direction, torch.tensor(0.9).double())
