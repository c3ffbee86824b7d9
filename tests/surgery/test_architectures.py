"""Insertion into networks that others wrote, of as many kinds as there are."""

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import foveal

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")


def vision(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: models.get_model(name, weights=None, **options)


def image(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, pretrained=False, **options)


# factory, image size, stage ends, blocks, layout at the last stage end
HOSTS: dict[str, tuple[Callable[[], nn.Module], int, list[str], int, str]] = {
    "tv-vgg": (vision("vgg11"), 32, [f"features.{i}" for i in (1, 4, 9, 14, 19)], 0, "map"),
    "tv-resnet": (vision("resnet18"), 64, [f"layer{i}.1" for i in (1, 2, 3, 4)], 8, "map"),
    "timm-resnet": (image("resnet26"), 64, [f"layer{i}.1" for i in (1, 2, 3, 4)], 8, "map"),
    "tv-densenet": (
        vision("densenet121"), 64, [f"features.denseblock{i}" for i in (1, 2, 3, 4)], 58, "map",
    ),
    "tv-mobilenet": (
        vision("mobilenet_v2"), 64, [f"features.{i}" for i in (1, 3, 6, 13, 17)], 17, "map",
    ),
    "tv-efficientnet": (
        vision("efficientnet_b0"), 64, [f"features.{i}" for i in (
            "1.0", "2.1", "3.1", "5.2", "7.0")], 16, "map",
    ),
    "timm-efficientnet": (
        image("efficientnet_b0"), 64, [f"blocks.{i}" for i in ("0.0", "1.1", "2.1", "4.2", "6.0")],
        16, "map",
    ),
    "tv-convnext": (
        vision("convnext_tiny"), 64, [f"features.{i}" for i in ("1.2", "3.2", "5.8", "7.2")], 18,
        "map",
    ),
    "timm-convnext": (
        image("convnext_atto"), 64, [f"stages.{i}" for i in (
            "0.blocks.1", "1.blocks.1", "2.blocks.5", "3.blocks.1")], 12, "map",
    ),
    "tv-regnet": (
        vision("regnet_y_400mf"), 64, [f"trunk_output.block{i}" for i in (
            "1.block1-0", "2.block2-2", "3.block3-5", "4.block4-5")], 16, "map",
    ),
    "timm-regnet": (image("regnetx_002"), 64, ["s1.b1", "s2.b1", "s3.b4", "s4.b7"], 13, "map"),
    "timm-vit": (image("vit_tiny_patch16_224", img_size=64), 64, ["blocks.11"], 12, "tokens"),
    "tv-vit": (
        vision("vit_b_32", image_size=64), 64, ["encoder.layers.encoder_layer_11"], 12, "tokens",
    ),
    "timm-swin": (
        image("swin_tiny_patch4_window7_224", img_size=64), 64, [f"layers.{i}" for i in (
            "0.blocks.1", "1.blocks.1", "2.blocks.5", "3.blocks.1")], 12, "channels_last",
    ),
    "tv-swin": (
        vision("swin_t"), 64, [f"features.{i}" for i in ("1.1", "3.1", "5.5", "7.1")], 12,
        "channels_last",
    ),
    "timm-mobilevit": (
        image("mobilevit_xxs"), 64, [f"stages.{i}" for i in ("0.0", "1.2", "2.1", "3.1", "4.1")],
        10, "map",
    ),
    "timm-coatnet": (
        image("coatnet_nano_rw_224", img_size=64), 64, [f"stages.{i}" for i in (
            "0.blocks.2", "1.blocks.3", "2.blocks.5", "3.blocks.2")], 16, "map",
    ),
    "timm-levit": (
        image("levit_128s"), 224, [f"stages.{i}" for i in (
            "0.blocks.1", "1.blocks.2", "2.blocks.3")], 9, "tokens",
    ),
    "tv-shufflenet": (
        vision("shufflenet_v2_x0_5"), 64, ["stage2.3", "stage3.7", "stage4.3"], 16, "map",
    ),
    "timm-ghostnet": (
        image("ghostnet_050"), 64, [f"blocks.{i}" for i in ("0.0", "2.0", "4.0", "6.4", "8.3")], 16,
        "map",
    ),
    "timm-pvt": (image("pvt_v2_b0"), 64, [f"stages.{i}" for i in (0, 1, 2, 3)], 8, "map"),
    "tv-segmentation": (
        vision("lraspp_mobilenet_v3_large", weights_backbone=None), 64,
        [f"backbone.{i}" for i in (1, 3, 6, 15)], 15, "map",
    ),
}  # fmt: skip


def results(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        out = model(x)
    return list(out.values()) if isinstance(out, dict) else [out]


def mixed_precision(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        return results(model, x)


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def graph(model: nn.Module) -> dict[str, tuple[int, set[str], int]]:
    """Every module with its identity, its attributes and its number of hooks."""
    return {
        path: (id(m), set(vars(m)), len(m._forward_hooks) + len(m._forward_pre_hooks))
        for path, m in model.named_modules()
    }


def wake(model: nn.Module) -> None:
    """Give zero-born scales and heads values, so that a change before them can be seen."""
    for module in model.modules():
        if (
            isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm)
            and module.weight is not None
        ):
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)


@pytest.mark.parametrize("host", HOSTS)
def test_stage_ends_and_blocks(host: str) -> None:
    make, size, ends, blocks, layout = HOSTS[host]
    targets = foveal.find_targets(make(), torch.rand(2, 3, size, size))
    assert [t.path for t in targets if "stage_end" in t.roles] == ends
    assert sum("block_end" in t.roles for t in targets) == blocks
    assert next(t for t in targets if t.path == ends[-1]).layout == layout


@pytest.mark.parametrize("host", HOSTS)
def test_insertion_is_silent_and_removal_complete(host: str) -> None:
    make, size, *_ = HOSTS[host]
    torch.manual_seed(0)
    model, x = make().eval(), torch.rand(2, 3, size, size)
    wake(model)
    before, checkpoint, text, modules = (
        results(model, x),
        model.state_dict(),
        repr(model),
        graph(model),
    )
    checkpoint = {key: value.clone() for key, value in checkpoint.items()}
    rough = mixed_precision(model, x)

    report = foveal.insert(model, "eca", where="stage_ends", example_input=x)
    assert equal(results(model, x), before)
    assert equal(mixed_precision(model, x), rough)
    assert report.largest_change == 0
    assert set(checkpoint) < set(model.state_dict())
    assert report.keys_kept == len(checkpoint)

    for module in foveal.inserted_modules(model).values():
        nn.init.ones_(module.strength)
    changed = results(model, x)
    assert equal(changed, before) is (not report.heard)
    model.load_state_dict(checkpoint, strict=True)
    assert equal(results(model, x), changed), "an old checkpoint must leave the mechanisms alone"

    twin = copy.deepcopy(model)
    for module in foveal.inserted_modules(model).values():
        nn.init.zeros_(module.strength)
    assert equal(results(twin, x), changed), "a copy must apply its own mechanisms"
    buffer = io.BytesIO()
    torch.save(twin, buffer)
    buffer.seek(0)
    assert equal(results(torch.load(buffer, weights_only=False), x), changed)

    assert foveal.remove(model) == len(report.places)
    assert (repr(model), graph(model)) == (text, modules)
    assert list(model.state_dict()) == list(checkpoint)
    assert equal(results(model, x), before)


WITHOUT_SHORTCUTS = ("tv-vgg", "tv-densenet", "tv-shufflenet")


QUICK = ("tv-resnet", "timm-vit", "tv-swin")


@pytest.mark.parametrize(
    "host", [h if h in QUICK else pytest.param(h, marks=pytest.mark.slow) for h in HOSTS]
)
def test_export_compile_and_channels_last(host: str) -> None:
    make, size, *_ = HOSTS[host]
    torch.manual_seed(0)
    model, x = make().eval(), torch.rand(2, 3, size, size)
    wake(model)
    foveal.insert(model, "eca", where="stage_ends", init="paper", example_input=x)
    expected = results(model, x)
    with torch.no_grad():
        exported = torch.export.export(model, (x,)).module()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    for way in (exported, compiled, other):
        torch.testing.assert_close(results(way, x), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("host", [host for host in HOSTS if host not in WITHOUT_SHORTCUTS])
def test_inside_residual(host: str) -> None:
    make, size, *_ = HOSTS[host]
    torch.manual_seed(0)
    model, x = make().eval(), torch.rand(2, 3, size, size)
    wake(model)
    before = results(model, x)
    report = foveal.insert(
        model, "eca", where="every_block", position="inside_residual", example_input=x
    )
    assert equal(results(model, x), before)
    assert report.heard
    assert all(place.calls == 1 for place in report.places)


@pytest.mark.parametrize(
    ("host", "block", "ends"),
    [
        ("tv-resnet", "layer1.0", ["layer1.0.bn2"]),
        ("timm-resnet", "layer2.0", ["layer2.0.bn3"]),
        ("timm-efficientnet", "blocks.1.1", ["blocks.1.1.bn3"]),
        ("tv-mobilenet", "features.3", ["features.3.conv.3"]),
        ("tv-convnext", "features.1.0", ["features.1.0.block.6"]),
        ("timm-vit", "blocks.3", ["blocks.3.attn", "blocks.3.mlp"]),
        ("tv-swin", "features.1.1", ["features.1.1.attn", "features.1.1.mlp.4"]),
        ("timm-vit", "blocks.3.mlp", ["blocks.3.mlp"]),
    ],
)
def test_end_of_the_residual_branch(host: str, block: str, ends: list[str]) -> None:
    make, size, *_ = HOSTS[host]
    model, x = make(), torch.rand(2, 3, size, size)
    report = foveal.insert(model, "eca", where=block, position="inside_residual", example_input=x)
    assert [place.path for place in report.places] == ends


@pytest.mark.parametrize("host", WITHOUT_SHORTCUTS)
def test_no_shortcut_no_residual_branch(host: str) -> None:
    make, size, ends, *_ = HOSTS[host]
    with pytest.raises(foveal.FovealError, match="no residual branch"):
        foveal.insert(
            make(), "eca", where=ends[0], position="inside_residual",
            example_input=torch.rand(2, 3, size, size),
        )  # fmt: skip


@pytest.mark.parametrize("host", ["timm-vit", "tv-vit", "tv-swin", "timm-coatnet"])
def test_attention_layers_are_found(host: str) -> None:
    make, size, *_ = HOSTS[host]
    targets = foveal.find_targets(make(), torch.rand(2, 3, size, size))
    found = [t.path for t in targets if "attention" in t.roles]
    assert found
    assert all(part.rsplit(".", 1)[-1] in ("attn", "self_attention") for part in found)


def test_prefix_tokens_and_grid_of_a_wide_image() -> None:
    model = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=(56, 112), pretrained=False)
    target = next(t for t in foveal.find_targets(model) if "stage_end" in t.roles)
    assert (target.grid, target.prefix_tokens, target.stride) == ((4, 8), 5, 14)
