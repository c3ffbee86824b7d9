"""Attention across levels in hosts that hand on several maps in one way each."""

import pickle
from collections import OrderedDict, namedtuple
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import foveal
from foveal import FovealError, insert_levels
from foveal.mix.levels import Levels
from foveal.surgery.maps import change_maps, maps_in

X = torch.rand(2, 3, 20, 28, generator=torch.Generator().manual_seed(1))
Pair = namedtuple("Pair", "fine coarse")


class Body(nn.Module):
    """Three maps, as a mapping, a list, or a tuple with the coarsest first."""

    def __init__(self, hands_on: str):
        super().__init__()
        self.hands_on = hands_on
        self.stages = nn.ModuleList(
            [nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in ((3, 6), (6, 8), (8, 10))]
        )

    def forward(self, x: Tensor):
        maps = []
        for stage in self.stages:
            x = stage(x).relu()
            maps.append(x)
        if self.hands_on == "mapping":
            return OrderedDict((f"p{i}", y) for i, y in enumerate(maps, start=3))
        return maps if self.hands_on == "list" else tuple(reversed(maps))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({str(c): nn.Conv2d(c, 4, 1) for c in (6, 8, 10)})

    def forward(self, maps, scale: float = 1.0) -> list[Tensor]:
        values = maps.values() if isinstance(maps, dict) else maps
        return [scale * self.layers[str(x.shape[1])](x) for x in values]


class Detector(nn.Module):
    def __init__(self, hands_on: str = "mapping"):
        super().__init__()
        self.body, self.head = Body(hands_on), Head()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([y.flatten(2) for y in self.head(self.body(x), scale=2.0)], 2)


@pytest.fixture
def host() -> Detector:
    torch.manual_seed(0)
    return Detector().eval()


def at_full_strength(model: nn.Module) -> None:
    for one in foveal.inserted_modules(model).values():
        nn.init.ones_(one.strength)


@pytest.mark.parametrize("hands_on", ["mapping", "list", "tuple"])
@pytest.mark.parametrize(("where", "position"), [("body", "after"), ("head", "before")])
def test_silent_at_birth_and_without_a_trace_afterwards(hands_on, where, position):
    host = Detector(hands_on).eval()
    before, keys, checkpoint = host(X), list(host.state_dict()), deepcopy(host.state_dict())
    done = insert_levels(host, "eca", where=where, position=position, example_input=X)
    assert torch.equal(host(X), before)
    assert (done.largest_change, done.heard, done.keys_kept) == (0.0, True, len(keys))
    assert done.plan["places"][0]["order"] == ([2, 1, 0] if hands_on == "tuple" else [0, 1, 2])
    assert set(keys) < set(host.state_dict())
    host.load_state_dict(checkpoint, strict=True)
    at_full_strength(host)
    assert not torch.allclose(host(X), before, atol=1e-3)
    foveal.enable(host, False)
    assert torch.equal(host(X), before)
    assert foveal.remove(host) == 1
    assert list(host.state_dict()) == keys
    assert torch.equal(host(X), before)


def test_it_computes_what_it_says(host):
    insert_levels(host, "eca", where="body", init="paper", example_input=X)
    (one,) = foveal.inserted_modules(host).values()
    assert isinstance(one.mechanism, Levels)
    foveal.enable(host, False)
    maps = list(host.body(X).values())
    foveal.enable(host, True)
    for found, wanted in zip(host.body(X).values(), one.mechanism(maps), strict=True):
        assert torch.equal(found, wanted)
    assert list(host.body(X)) == ["p3", "p4", "p5"]


def test_a_level_hears_the_others_by_its_own_strength(host):
    insert_levels(host, "eca", where="body", example_input=X)
    before = list(host.body(X).values())
    (one,) = foveal.inserted_modules(host).values()
    with torch.no_grad():
        one.strength[1] = 1
    changed = [not torch.equal(a, b) for a, b in zip(before, host.body(X).values(), strict=True)]
    assert changed == [False, True, False]


def test_all_that_was_inserted_learns(host):
    keys = set(host.state_dict())
    insert_levels(host, "eca > coord", where="body", example_input=X)
    added = {name: p for name, p in host.named_parameters() if name not in keys}
    optimizer = torch.optim.SGD(added.values(), lr=0.1)
    for _ in range(3):  # the strengths first, then the last layers of what is born 0
        optimizer.zero_grad()
        F.gelu(host(X)).square().mean().backward()
        optimizer.step()
    dead = [name for name, p in added.items() if p.grad is None or not p.grad.abs().max() > 0]
    assert dead == []


def test_copies_exports_and_plain_modules_compute_the_same(host):
    insert_levels(host, "danet_position", where="head", position="before", example_input=X)
    at_full_strength(host)
    with torch.no_grad():
        wanted = host(X)
        assert torch.equal(deepcopy(host)(X), wanted)
        assert torch.equal(pickle.loads(pickle.dumps(host))(X), wanted)
        free = torch.export.Dim.DYNAMIC
        program = torch.export.export(host, (X,), dynamic_shapes=({0: free, 2: free, 3: free},))
        other = torch.rand(3, 3, 31, 18)
        assert torch.allclose(program.module()(other), host(other), atol=1e-4)
        foveal.materialize(host, X)
        assert torch.equal(host(X), wanted)
    assert foveal.remove(host) == 1
    assert not foveal.inserted_modules(host)


def test_an_insertion_is_saved_and_repeated(host, tmp_path):
    fresh = deepcopy(host)
    insert_levels(host, "eca", where="body", width=4, weighting="learned", example_input=X)
    at_full_strength(host)
    path = foveal.save_insertion(host, tmp_path / "levels.safetensors")
    done = foveal.load_insertion(fresh, path, X)
    assert done.places[0].channels == 4
    assert torch.equal(fresh(X), host(X))
    fresh = Detector("tuple").eval()
    with pytest.raises(FovealError, match="the insertion was made for"):
        foveal.load_insertion(fresh, path, X)
    assert not foveal.inserted_modules(fresh)


def test_find_pyramids(host):
    found = foveal.find_pyramids(host, X)
    places = {(p.path, p.position): (p.channels, p.sizes) for p in found}
    several = (6, 8, 10), ((10, 14), (5, 7), (3, 4))
    assert places == {
        ("body", "after"): several,
        ("head", "before"): several,
        ("head", "after"): ((4, 4, 4), several[1]),
    }
    insert_levels(host, "eca", where="body", example_input=X)
    assert foveal.find_pyramids(host, X) == found


def test_structures():
    maps = [torch.rand(1, 2, size, size) for size in (4, 2)]
    pair = change_maps((7, Pair(*maps)), lambda given: [x + 1 for x in given])
    assert isinstance(pair[1], Pair)
    assert torch.equal(pair[1].coarse, maps[1] + 1)
    assert maps_in([maps[0], torch.rand(1, 3)]) is None
    assert maps_in([maps[0], torch.rand(2, 3, 2, 2)]) is None  # another batch
    assert maps_in({"a": None, "b": {"c": maps}}) == maps
    assert maps_in(maps[0]) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"where": "body.stages.0"}, "returns no several maps.*after body"),
        ({"where": "body", "position": "before"}, "takes no several maps"),
        ({"where": "boddy"}, "matches no module"),
        ({"where": "body", "position": "replace"}, "position='replace' must be one of after"),
        ({"where": "body", "init": "zero"}, "init='zero'"),
        ({"where": "body", "weighting": "lerned"}, "did you mean learned"),
        ({"where": "body", "weighting": "fixed"}, "weighting='fixed'"),
        ({"where": "body", "width": 0}, "body: width=0"),
        ({"where": "body", "options": {"reduktion": 2}}, "no option 'reduktion'"),
    ],
)
def test_refusals_leave_the_model_alone(host, options, says):
    keys = list(host.state_dict())
    with pytest.raises(FovealError, match=says):
        insert_levels(host, "eca", example_input=X, **options)
    assert list(host.state_dict()) == keys


def test_maps_that_cross_in_size_are_refused():
    class Crossing(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x[..., ::4], x[..., ::2, :]]

    host = nn.Sequential(nn.Conv2d(3, 4, 1), Crossing())
    with pytest.raises(FovealError, match="1: level 1 is larger than level 0"):
        insert_levels(host, "eca", where="1", example_input=X)


def test_torchvision_feature_pyramid():
    ops = pytest.importorskip("torchvision.ops")

    class Neck(nn.Module):
        def __init__(self):
            super().__init__()
            pool = ops.feature_pyramid_network.LastLevelMaxPool()
            self.body = Body("mapping")
            self.fpn = ops.FeaturePyramidNetwork([6, 8, 10], 12, extra_blocks=pool)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return self.fpn(self.body(x))

    model = Neck().eval()
    before = model(X)
    done = insert_levels(model, "cbam", where="fpn", example_input=X)
    after = model(X)
    assert list(after) == ["p3", "p4", "p5", "pool"]
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert done.plan["places"][0]["channels"] == [12] * 4
    assert done.heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where", "position"),
    [
        ("detection.fasterrcnn_mobilenet_v3_large_320_fpn", "backbone.fpn", "after"),
        ("detection.fasterrcnn_mobilenet_v3_large_320_fpn", "backbone.fpn", "before"),
        ("detection.retinanet_resnet50_fpn", "head", "before"),
        ("detection.ssdlite320_mobilenet_v3_large", "backbone", "after"),
        ("segmentation.lraspp_mobilenet_v3_large", "backbone", "after"),
    ],
)
def test_detectors_and_segmenters_of_torchvision(name, where, position):
    models = pytest.importorskip("torchvision.models")
    family, _, builder = name.partition(".")
    model = getattr(getattr(models, family), builder)(weights=None, weights_backbone=None).eval()
    image, keys = torch.rand(1, 3, 96, 128), list(model.state_dict())
    done = insert_levels(model, "eca", where=where, position=position, example_input=image)
    assert (done.largest_change, done.keys_kept) == (0.0, len(keys))
    at_full_strength(model)
    with torch.no_grad():
        model(image)
    assert foveal.remove(model) == 1
    assert list(model.state_dict()) == keys
