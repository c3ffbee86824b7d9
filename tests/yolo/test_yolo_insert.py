"""Insertion into what ultralytics builds: every family and task, silent at birth."""

import copy

import pytest
import torch
from torch import Tensor, nn

import foveal
from foveal.core.errors import FovealError
from foveal.surgery.flow import tensors_in
from foveal.surgery.repeat import repeat_insertion

pytest.importorskip("ultralytics", reason="needs the extra yolo")

FAMILIES = [
    *("yolov5n.yaml", "yolov8n.yaml", "yolov9t.yaml", "yolov10n.yaml", "yolo11n.yaml"),
    *("yolo12n.yaml", "yolo26n.yaml"),
]
TASKS = ["yolov8n-seg.yaml", "yolo26n-pose.yaml", "yolo11n-obb.yaml", "yolov8n-cls.yaml"]


def network(name: str) -> nn.Module:
    from ultralytics import RTDETR, YOLO

    torch.manual_seed(0)
    return (RTDETR if name.startswith("rtdetr") else YOLO)(name).model  # pyright: ignore


def predictions(model: nn.Module) -> list[Tensor]:
    x = torch.rand(1, 3, 192, 160, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return [t.clone() for t in tensors_in(model.eval()(x))]


def check(name: str, where: object, position: str = "after", attention: str = "cbam") -> list[str]:
    model = network(name)
    before, keys, state = predictions(model), list(model.state_dict()), model.state_dict()
    state = {key: value.clone() for key, value in state.items()}
    report = foveal.insert(model, attention, where=where, position=position)  # pyright: ignore
    after = predictions(model)
    assert len(before) == len(after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert report.keys_kept == len(keys)
    assert all(torch.equal(model.state_dict()[key], state[key]) for key in keys)
    model.load_state_dict(state, strict=True)  # a checkpoint from before the insertion
    assert report.heard
    for one in foveal.inserted_modules(model).values():
        assert one.strength is not None
        one.strength.data.fill_(1.0)
    assert not all(torch.equal(a, b) for a, b in zip(before, predictions(model), strict=True))
    return [place.path for place in report.places]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name: str):
    assert len(check(name, ["backbone.last2", "neck.out"])) == 5


@pytest.mark.parametrize("name", TASKS)
def test_every_task(name: str):
    assert len(check(name, ["head.in", "backbone.p4"])) == (2 if "-cls" in name else 4)


def test_rt_detr():
    assert check("rtdetr-l.yaml", ["backbone.p5", "head.in"]) == ["model.9", *["model.28"] * 3]


PLACES = {
    "backbone.p3": ["model.4"],
    "backbone.p4": ["model.6"],
    "backbone.p5": ["model.9"],
    "backbone.last3": ["model.4", "model.6", "model.9"],
    "sppf": ["model.9"],
    "neck.out": ["model.15", "model.18", "model.21"],
    "every_c2f": [f"model.{i}" for i in (2, 4, 6, 8, 12, 15, 18, 21)],
    "4": ["model.4"],
    "-2": ["model.21"],
    "model.8": ["model.8"],
}


@pytest.mark.parametrize("where", PLACES)
def test_presets_name_the_layers_of_yolov8(where: str):
    report = foveal.insert(network("yolov8n.yaml"), "simam", where=where)
    assert [place.path for place in report.places] == PLACES[where]


def test_numbers_and_lists():
    report = foveal.insert(network("yolov8n.yaml"), "eca", where=[4, "sppf", -2])  # pyright: ignore
    assert [place.channels for place in report.places] == [64, 256, 256]


def test_inside_residual_reaches_the_repeated_bottlenecks():
    paths = check("yolov8n.yaml", "every_c2f", "inside_residual")
    assert paths[:3] == ["model.2.m.0.cv2", "model.4.m.0.cv2", "model.4.m.1.cv2"]
    assert len(paths) == 6
    with pytest.raises(FovealError, match="adds nothing to a shortcut"):
        foveal.insert(network("yolov8n.yaml"), "eca", where=15, position="inside_residual")  # pyright: ignore


def test_head_in_leaves_the_neck_alone():
    """What the neck hands down again is not changed, only what the head is given."""
    model = network("yolov8n.yaml")
    foveal.insert(model, "cbam", where="head.in", init="paper")
    bare = copy.deepcopy(model)
    foveal.remove(bare)
    seen: dict[str, list[Tensor]] = {"with": [], "bare": []}
    for which, each in (("with", model), ("bare", bare)):
        each.model[21].register_forward_hook(lambda m, i, o, w=which: seen[w].append(o))  # pyright: ignore
        predictions(each)
    assert torch.equal(seen["with"][0], seen["bare"][0])
    assert not torch.equal(predictions(model)[0], predictions(bare)[0])


def test_each_level_may_have_its_own():
    model = network("yolov8n.yaml")
    for layer, attention in ((15, "eca"), (18, "cbam"), (21, "se")):
        foveal.insert(model, attention, where=layer)  # pyright: ignore
    kinds = [type(m.mechanism).__name__ for m in foveal.inserted_modules(model).values()]
    assert kinds == ["ECA", "CBAM", "SE"]
    assert [p["attention"] for p in model.yaml["foveal"]["plan"]["places"]] == ["eca", "cbam", "se"]  # pyright: ignore


def test_levels_exchange_in_front_of_the_head():
    model, fresh = network("yolov8n.yaml"), network("yolov8n.yaml")
    before, keys = predictions(model), list(model.state_dict())
    done = foveal.insert_levels(model, "eca > coord", where="head.in")
    assert [p.path for p in done.places] == ["model.22"]
    assert done.plan["places"][0]["channels"] == [64, 128, 256]
    assert (done.largest_change, done.heard, done.keys_kept) == (0.0, True, len(keys))
    assert all(torch.equal(a, b) for a, b in zip(before, predictions(model), strict=True))
    (one,) = foveal.inserted_modules(model).values()
    one.strength.data.fill_(1.0)  # pyright: ignore
    assert not torch.equal(before[0], predictions(model)[0])
    repeat_insertion(fresh, model.yaml["foveal"]["plan"])  # pyright: ignore
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(predictions(fresh)[0], predictions(model)[0])
    with pytest.raises(FovealError, match=r"come together at where='head.in'"):
        foveal.insert_levels(fresh, "eca", where="neck.out")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("backbone.p8", "backbone.p3"),
        ("backbone.p6", "the backbone has p1, p2, p3, p4, p5"),
        ("neck.in", "did you mean"),
        (40, "layers 0 to 22"),
        ("model.4.cv1.conv", "folded together by fuse"),
    ],
)
def test_wrong_places_are_said(where: object, says: str):
    model = network("yolov8n.yaml")
    keys = list(model.state_dict())
    with pytest.raises(FovealError, match=says):
        foveal.insert(model, "eca", where=where)  # pyright: ignore
    assert list(model.state_dict()) == keys


def test_there_is_no_neck_in_a_classifier():
    with pytest.raises(FovealError, match="no neck"):
        foveal.insert(network("yolov8n-cls.yaml"), "eca", where="neck.out")


def test_replacing_what_fuse_rewrites_is_refused():
    with pytest.raises(FovealError, match="another forward in the mechanism's place"):
        foveal.insert(
            network("yolov8n.yaml"),
            "eca",
            where="model.4.m.0.cv2",
            position="replace",
            init="paper",
        )


def test_fuse_half_and_copies_keep_it():
    model = network("yolov8n.yaml")
    foveal.insert(model, "cbam", where=["backbone.last2", "head.in"], init="paper")
    want = predictions(model)[0]
    copied = copy.deepcopy(model)
    assert torch.equal(predictions(copied)[0], want)
    fused = copied.fuse(verbose=False)  # pyright: ignore
    assert len(foveal.inserted_modules(fused)) == 5
    assert torch.allclose(predictions(fused)[0], want, atol=1e-3)
    half = copy.deepcopy(model).half().float()
    assert torch.allclose(predictions(half)[0], want, rtol=2e-2, atol=0.5)


def test_a_plan_is_repeated_in_the_same_places():
    model, fresh = network("yolov8n.yaml"), network("yolov8n.yaml")
    torch.manual_seed(7)
    foveal.insert(model, "cbam", where=["head.in", 4], init="paper")
    foveal.insert(model, "eca", where="every_c2f", position="inside_residual", init="paper")
    plan = model.yaml["foveal"]["plan"]  # pyright: ignore
    positions = [place["position"] for place in plan["places"]]
    assert sorted(set(positions)) == ["after", "before", "inside_residual"]
    torch.manual_seed(7)
    repeat_insertion(fresh, plan)
    assert list(fresh.state_dict()) == list(model.state_dict())
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(predictions(fresh)[0], predictions(model)[0])


def test_mixed_precision_is_silent_too():
    """In training as well, where the head returns something else; ultralytics itself trains in
    mixed precision on a GPU only."""
    bare, model = network("yolov8n.yaml"), network("yolov8n.yaml")
    foveal.insert(model, "cbam", where=["neck.out", "head.in"])
    x = torch.rand(2, 3, 64, 96)
    results = []
    for each in (bare, model):
        with torch.autocast("cpu", torch.bfloat16):
            results.append(list(tensors_in(each.train()(x))))
        sum(t.float().mean() for t in results[-1]).backward()  # pyright: ignore
    assert len(results[0]) == len(results[1]) > 3
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    inserted = foveal.inserted_modules(model).values()
    assert all(one.strength.grad.abs().sum() > 0 for one in inserted)  # pyright: ignore


def test_the_head_remembers_nothing_of_the_example():
    model = network("yolov8n.yaml")
    before = predictions(model)
    head = model.model[-1]  # pyright: ignore
    shape, anchors = head.shape, head.anchors  # pyright: ignore
    foveal.insert(model, "eca", where="neck.out")
    assert head.shape is shape  # pyright: ignore
    assert head.anchors is anchors  # pyright: ignore
    assert torch.equal(predictions(model)[0], before[0])


def test_remove_gives_the_plain_network_back():
    from ultralytics import YOLO

    model = YOLO("yolov8n.yaml")
    keys = list(model.model.state_dict())
    foveal.insert(model, "eca", where="neck.out")
    with pytest.raises(FovealError, match="would lose them"):
        copy.deepcopy(model.model.yaml)  # as a trainer does that builds the network anew
    assert foveal.remove(model) == 3
    assert list(model.model.state_dict()) == keys
    assert type(copy.deepcopy(model.model.yaml)) is dict
    assert "foveal" not in model.model.yaml


@pytest.mark.slow
@pytest.mark.parametrize("scale", "nsmlx")
@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolo11", "yolo12", "yolo26"])
def test_one_specification_fits_every_scale(family: str, scale: str):
    check(f"{family}{scale}.yaml", "backbone.last2")
    check(f"{family}{scale}.yaml", "head.in")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["", "-seg", "-pose", "-obb", "-cls"])
@pytest.mark.parametrize("family", ["yolov8n", "yolo11n", "yolo12n", "yolo26n"])
@pytest.mark.parametrize("attention", ["cbam", "eca", "mhsa"])
def test_every_family_and_task(family: str, task: str, attention: str):
    check(f"{family}{task}.yaml", "backbone.last2", attention=attention)
    check(f"{family}{task}.yaml", "every_c2f", "inside_residual", attention=attention)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("yolov9s.yaml", "yolov9m.yaml", "yolov9c.yaml", "yolov9e.yaml", "yolov9c-seg.yaml"),
        *(f"yolov10{scale}.yaml" for scale in "smblx"),
        *("rtdetr-x.yaml", "rtdetr-resnet50.yaml", "rtdetr-resnet101.yaml", "yolov8n-p2.yaml"),
    ],
)
def test_the_other_networks(name: str):
    check(name, "backbone.last2")
    check(name, "neck.out")
