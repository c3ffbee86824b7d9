"""What an insertion promises, on small hosts that show one difficulty each."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import foveal
from foveal.core.types import Map, Tokens
from foveal.surgery.hook import Instead


class Double(nn.Module):
    """A mechanism with a known result: 2x, by a weight."""

    def __init__(self, channels: int):
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels,), 2.0))

    def forward(self, x: Map) -> Map:
        return x * self.factor[:, None, None]


class DoubleTokens(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels,), 2.0))

    def forward(self, x: Tokens) -> Tokens:
        return x * self.factor


class Block(nn.Module):
    def __init__(self, channels: int = 8):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.act(self.a(x)))
        y += x
        return self.act(y)


class Host(nn.Module):
    def __init__(self, block: type[nn.Module] = Block):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(block(), block())
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


X = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def host() -> Host:
    torch.manual_seed(0)
    return Host().eval()


def test_after_before_and_replace_compute_what_they_say(host: Host) -> None:
    stem = host.stem(X)
    block = host.blocks[0]
    expected = {
        "after": host.blocks[1](2 * block(stem)),
        "before": host.blocks[1](block(2 * stem)),
        "replace": host.blocks[1](2 * stem),
        "inside_residual": host.blocks[1](
            torch.relu(2 * block.b(torch.relu(block.a(stem))) + stem)
        ),
    }
    for position, features in expected.items():
        foveal.insert(
            host, Double, where="blocks.0", position=position, init="paper", example_input=X
        )
        torch.testing.assert_close(host(X), host.head(features.mean((2, 3))))
        foveal.remove(host)


@pytest.mark.parametrize("position", ["after", "before", "replace", "inside_residual"])
def test_identity_is_silent_and_learns(host: Host, position: str) -> None:
    before = host(X)
    report = foveal.insert(host, Double, where="blocks.*", position=position, example_input=X)
    assert torch.equal(host(X), before)
    assert report.largest_change == 0
    assert report.parameters_added == 2 * (8 + 1)
    optimiser = torch.optim.SGD(host.parameters(), lr=0.1)
    for _ in range(2):  # the strength moves first, then the mechanism has a gradient too
        optimiser.zero_grad()
        host(X).square().sum().backward()
        optimiser.step()
    for module in foveal.inserted_modules(host).values():
        assert module.strength.item() != 0
        assert module.mechanism.factor.grad.any()


def test_a_mechanism_born_an_identity_learns_too() -> None:
    host = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1))
    x = torch.rand(2, 3, 8, 8)
    before = host(x)
    report = foveal.insert(host, "gc", where="0", example_input=x)  # its last layer is born 0
    assert torch.equal(host(x), before)
    assert report.heard
    gc = host[0].foveal_attention.mechanism
    born = {name: p.detach().clone() for name, p in gc.named_parameters()}
    optimiser = torch.optim.SGD(host.parameters(), lr=0.1)
    for _ in range(3):  # the last layer moves first, then those before it
        optimiser.zero_grad()
        host(x).square().sum().backward()
        optimiser.step()
    assert not [name for name, p in gc.named_parameters() if torch.equal(p, born[name])]


def test_the_callers_random_numbers_and_state_stay(host: Host) -> None:
    host.train()
    host.blocks[0].eval()
    flags = [m.training for m in host.modules()]
    host.register_buffer("count", torch.zeros(1))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    foveal.insert(host, "se", where="blocks.0", example_input=X)
    assert torch.equal(torch.rand(3), expected)
    first = foveal.inserted_modules(host)["blocks.0.foveal_attention"]
    assert not first.training
    foveal.remove(host)
    assert [m.training for m in host.modules()] == flags


def test_the_same_seed_gives_the_same_mechanism(host: Host) -> None:
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        foveal.insert(host, "se", where="blocks.0", example_input=X)
        weights.append([p.clone() for p in foveal.inserted_modules(host).popitem()[1].parameters()])
        foveal.remove(host)
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_dtype_follows_the_host(host: Host) -> None:
    host.double()
    foveal.insert(host, "eca", where="blocks.0", example_input=X)
    assert {p.dtype for p in host.parameters()} == {torch.float64}
    assert host(X.double()).dtype == torch.float64


def test_replace_runs_the_mechanism_alone(host: Host) -> None:
    ran = []
    keys = set(host.state_dict())
    foveal.insert(host, Double, where="blocks.0", position="replace", init="paper", example_input=X)
    host.blocks[0].a.register_forward_hook(lambda *_: ran.append(1))
    host(X)
    assert not ran
    assert keys < set(host.state_dict())
    assert not host.blocks[0].a.weight.requires_grad
    foveal.enable(host, False)
    host(X)
    assert ran
    assert host.blocks[0].a.weight.requires_grad
    foveal.enable(host, True)
    foveal.remove(host)
    assert all(p.requires_grad for p in host.parameters())
    assert not any(isinstance(v, Instead) for m in host.modules() for v in vars(m).values())


def test_enable(host: Host) -> None:
    before = host(X)
    foveal.insert(host, Double, where="blocks.*", init="paper", example_input=X)
    changed = host(X)
    assert not torch.equal(changed, before)
    assert foveal.enable(host, False) == 2
    assert torch.equal(host(X), before)
    foveal.enable(host, True)
    assert torch.equal(host(X), changed)


def test_several_insertions_at_one_place(host: Host) -> None:
    before = host(X)
    foveal.insert(host, Double, where="blocks.0", init="paper", example_input=X)
    foveal.insert(host, Double, where="blocks.0", init="paper", example_input=X)
    assert list(foveal.inserted_modules(host)) == [
        "blocks.0.foveal_attention",
        "blocks.0.foveal_attention_2",
    ]
    features = host.blocks[1](4 * Block.forward(host.blocks[0], host.stem(X)))
    torch.testing.assert_close(host(X), host.head(features.mean((2, 3))))
    assert foveal.remove(host) == 2
    assert torch.equal(host(X), before)


def test_removal_finds_what_a_conversion_left_without_a_hook(host: Host) -> None:
    host.stem = nn.Sequential(host.stem, nn.BatchNorm2d(8))
    keys = set(host.state_dict())
    foveal.insert(host, "eca", where="stem.1", example_input=X)
    host = nn.SyncBatchNorm.convert_sync_batchnorm(host)
    assert foveal.remove(host) == 1
    assert set(host.state_dict()) == keys


def test_an_inserted_module_is_no_target(host: Host) -> None:
    before = {t.path: t for t in foveal.find_targets(host, X)}
    foveal.insert(host, "mhsa", where="blocks.*", position="inside_residual", example_input=X)
    assert {t.path: t for t in foveal.find_targets(host, X)} == before
    with pytest.raises(foveal.FovealError, match="never calls"):
        foveal.insert(host, "eca", where="**.foveal_attention", example_input=X)


class Shared(nn.Module):
    """One block that stands at two paths and runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.first = Block()
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.first(self.first(self.stem(x))))


def test_shared_modules_get_one_mechanism() -> None:
    model = Shared().eval()
    before, keys = model(X), set(model.state_dict())
    report = foveal.insert(model, Double, where=["first", "again"], example_input=X)
    assert [(p.path, p.calls) for p in report.places] == [("first", 3)]
    assert torch.equal(model(X), before)
    assert keys < set(model.state_dict())
    model.load_state_dict({k: v for k, v in model.state_dict().items() if k in keys})
    with torch.no_grad():
        model.first.foveal_attention.strength.fill_(1)
    y = model.stem(X)
    for _ in range(3):
        y = 2 * Block.forward(model.first, y)
    torch.testing.assert_close(model(X), y)
    foveal.remove(model)
    assert set(model.state_dict()) == keys


def test_a_module_that_runs_on_different_things_is_refused() -> None:
    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.b(self.act(self.a(x))))

    with pytest.raises(foveal.FovealError, match=r"act runs 2 times .* different"):
        foveal.insert(Narrow(), "eca", where="act", example_input=X)


class RunsItsChildren(nn.Module):
    """Like timm's RegStage: whatever it holds is run."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


class CountsItsChildren(RunsItsChildren):
    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)) * len(list(self.children()))


@pytest.mark.parametrize("stage", [RunsItsChildren, CountsItsChildren])
@pytest.mark.parametrize("init", ["identity", "paper"])
def test_a_host_that_runs_its_children_is_found_out(stage: type[nn.Module], init: str) -> None:
    model = nn.Sequential(OrderedDict(stage=stage(), act=nn.ReLU())).eval()
    before, keys, text = model(X), list(model.state_dict()), repr(model)
    with pytest.raises(foveal.FovealError, match="whatever children it has"):
        foveal.insert(model, "eca", where=["act", "stage"], init=init, example_input=X)
    assert (list(model.state_dict()), repr(model)) == (keys, text)
    assert torch.equal(model(X), before)
    assert not any(m._forward_hooks for m in model.modules())
    foveal.insert(model, "eca", where="stage.two", init=init, example_input=X)


def test_a_change_behind_a_head_of_zeros_is_found_out() -> None:
    model = nn.Sequential(CountsItsChildren(), nn.Conv2d(8, 2, 1))
    nn.init.zeros_(model[1].weight)
    with pytest.raises(foveal.FovealError, match="whatever children it has"):
        foveal.insert(model, "eca", where="0", example_input=X)


def test_a_sequence_passes_it_to_its_last_and_first_element(host: Host) -> None:
    report = foveal.insert(host, "eca", where="blocks", example_input=X)
    assert [p.path for p in report.places] == ["blocks.1"]
    foveal.remove(host)
    report = foveal.insert(host, "eca", where="blocks", position="before", example_input=X)
    assert [p.path for p in report.places] == ["blocks.0"]


def test_a_sequence_whose_last_element_is_shared_holds_it_elsewhere() -> None:
    act = nn.ReLU()
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 1), act), nn.Sequential(nn.Conv2d(8, 16, 1), act)
    ).eval()
    before = model(X)
    foveal.insert(model, Double, where="0", init="paper", example_input=X)
    torch.testing.assert_close(model(X), model[1](2 * model[0][1](model[0][0](X))))
    foveal.remove(model)
    assert torch.equal(model(X), before)


class Masked(nn.Module):
    """Attention called as timm calls it, by keywords, in a block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.norm(x)
        return x + self.attn(query=y, key=y, value=y, attn_mask=mask, need_weights=False)[0]


class Tokenised(nn.Module):
    def __init__(self, masked: bool = False) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.block = Masked()
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).mT
        n = tokens.shape[1]
        return self.block(tokens, mask=torch.zeros(n, n) if self.masked else None)


@pytest.mark.parametrize("position", ["after", "before", "replace"])
@pytest.mark.parametrize("init", ["identity", "paper"])
def test_keyword_arguments_and_tuples(position: str, init: str) -> None:
    model = Tokenised().eval()
    x = model.patch(X).flatten(2).mT
    before = model(X)
    foveal.insert(
        model, DoubleTokens, where="block.attn", position=position, init=init, example_input=X
    )
    if init == "identity":
        assert torch.equal(model(X), before)
    elif position == "replace":
        torch.testing.assert_close(model(X), x + 2 * model.block.norm(x))
    else:
        assert not torch.equal(model(X), before)
    foveal.remove(model)
    assert torch.equal(model(X), before)


def test_a_mask_is_not_thrown_away() -> None:
    model = Tokenised(masked=True)
    foveal.insert(model, DoubleTokens, where="block.attn", example_input=X)
    with pytest.raises(foveal.FovealError, match="attn_mask"):
        foveal.insert(model, DoubleTokens, where="block.attn", position="replace", example_input=X)


@pytest.mark.parametrize("kind", [dict, list, tuple, OrderedDict])
def test_the_first_tensor_of_an_output(kind: type) -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)

        def forward(self, x: Tensor) -> object:
            y = self.conv(x)
            return kind([y, x]) if kind in (list, tuple) else kind(out=y, aux=x)

    model = Features()
    whole = nn.Sequential(model)
    foveal.insert(whole, Double, where="0", init="paper", example_input=X)
    out = whole(X)
    assert type(out) is kind
    first, second = out if kind in (list, tuple) else out.values()
    torch.testing.assert_close(first, 2 * model.conv(X))
    assert torch.equal(second, X)


def test_layouts_meet_through_adapters() -> None:
    model = Tokenised().eval()
    foveal.insert(model, Double, where="block", init="paper", example_input=X)
    (inserted,) = foveal.inserted_modules(model).values()
    assert isinstance(inserted.attention, foveal.OnTokens)
    assert inserted.attention.grid == (3, 4)
    assert isinstance(inserted.mechanism, Double)


def test_mistakes_are_told_and_change_nothing(host: Host) -> None:
    text = repr(host)
    cases = {
        "position='besides' must be one of": {"position": "besides"},
        "init='zero' must be one of": {"init": "zero"},
        "matches no module of Host": {"where": "blokcs.0"},
        "did you mean stage_ends": {"where": "stage_end"},
        "is no regular expression": {"where": "regex:("},
        "head .* not a map": {"where": "head"},
        r"blocks.0 \(8 channels\): kernel_size=4 must be odd": {"options": {"kernel_size": 4}},
        r"no option 'kernel'": {"options": {"kernel": 4}},
        "has 1 stages": {"where": "backbone.last2"},
        "stem makes .* of .*; a mechanism keeps the shape": {
            "where": "stem", "position": "replace"
        },
        r"example of shape \(2, 5, 8, 8\): .*example_input=": {
            "example_input": torch.rand(2, 5, 8, 8)
        },
    }  # fmt: skip
    for message, arguments in cases.items():
        with pytest.raises(foveal.FovealError, match=message):
            foveal.insert(host, "eca", **{"where": "blocks.0", "example_input": X} | arguments)
    with pytest.raises(foveal.FovealError, match="there is no attention 'ecaa'"):
        foveal.insert(host, "ecaa", where="blocks.0", example_input=X)
    assert repr(host) == text


def test_a_mechanism_that_breaks_the_law_of_shape_is_refused(host: Host) -> None:
    with pytest.raises(foveal.FovealError, match=r"blocks.0 \(8 channels\).*must keep it"):
        foveal.insert(host, lambda c: nn.Conv2d(c, c, 3), where="blocks.0", example_input=X)
    with pytest.raises(foveal.FovealError, match="not finite"):
        foveal.insert(host, lambda c: nn.Threshold(9, float("inf")), where="blocks.0",
                      example_input=X)  # fmt: skip


def test_hosts_that_take_no_module_are_refused(host: Host) -> None:
    for wrap, word in ((torch.compile, "compile"), (torch.jit.script, "scripted")):
        with pytest.raises(foveal.FovealError, match=f"{word}.*insert first"):
            foveal.insert(wrap(host), "eca", where="blocks.0", example_input=X)
    with pytest.raises(foveal.FovealError, match="meta"):
        foveal.insert(Host().to("meta"), "eca", where="blocks.0", example_input=X)


def test_a_damaged_checkpoint_is_refused(host: Host) -> None:
    foveal.insert(host, "se", where="blocks.0", example_input=X)
    state = host.state_dict()
    del state["blocks.0.foveal_attention.strength"]
    with pytest.raises(RuntimeError, match="strength"):
        host.load_state_dict(state)
    host.load_state_dict(Host().state_dict(), strict=True)


def test_param_groups(host: Host) -> None:
    foveal.insert(host, "se", where="blocks.*", example_input=X)
    groups = foveal.param_groups(host, lr_mult=4, lr=0.5, weight_decay=0.1)
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("host", 0.5, 0.1),
        ("inserted", 2.0, 0.1),
    ]
    together = [p for g in groups for p in g["params"]]
    assert len(set(together)) == len(together) == len(list(host.parameters()))
    torch.optim.AdamW(groups)
    foveal.remove(host)
    assert [g["name"] for g in foveal.param_groups(host, lr=0.5)] == ["host"]
    with pytest.raises(foveal.FovealError, match="lr="):
        foveal.param_groups(host)
