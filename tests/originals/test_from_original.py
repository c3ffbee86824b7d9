import pytest
import torch
from torch import nn

import foveal
from foveal import FovealError, from_original
from foveal.originals.registry import ORIGINALS, original


def se_weights(channels=16, hidden=4, **kwargs):
    shapes = {"fc.0.weight": (hidden, channels), "fc.2.weight": (channels, hidden)}
    return {name: torch.rand(shape, **kwargs) for name, shape in shapes.items()}


ARGS = {"channel": 16, "reduction": 4}


def test_the_module_is_ours_in_evaluation_mode_with_the_weights_dtype():
    module = from_original("se", ARGS, se_weights(dtype=torch.float64))
    assert isinstance(module, foveal.attention.SE)
    assert not module.training
    assert module.squeeze.weight.dtype == torch.float64


def test_the_callers_tensors_are_copied_not_kept():
    weights = se_weights()
    before = weights["fc.0.weight"].clone()
    nn.init.zeros_(from_original("se", ARGS, weights).squeeze.weight)
    assert torch.equal(weights["fc.0.weight"], before)
    assert list(weights) == ["fc.0.weight", "fc.2.weight"]


@pytest.mark.parametrize(
    ("key", "args", "change", "message"),
    [
        ("se_blogs", ARGS, {}, "there is no original 'se_blogs'; did you mean se_blog"),
        ("se", {**ARGS, "ratio": 4}, {}, "no argument 'ratio'"),
        ("se", {**ARGS, "reducton": 4}, {}, "did you mean reduction"),
        ("se", {"reduction": 4}, {}, "needs channel"),
        ("se", ARGS, {"fc.2.weight": None}, "missing fc.2.weight"),
        ("se", ARGS, {"fc.4.bias": torch.zeros(1)}, "unexpected fc.4.bias"),
        (
            "se",
            ARGS,
            {"fc.0.weight": torch.zeros(2, 16)},
            r"fc.0.weight has shape \(2, 16\) where \(4, 16\) is needed",
        ),
        ("se", {**ARGS, "reduction": 0}, {}, "reduction=0"),
    ],
)
def test_mistakes_are_named(key, args, change, message):
    weights = {k: t for k, t in {**se_weights(), **change}.items() if t is not None}
    with pytest.raises(FovealError, match=message):
        from_original(key, args, weights)


def test_all_faults_are_named_at_once():
    weights = {"fc.0.weight": torch.zeros(3, 16), "fc.1.weight": torch.zeros(1)}
    with pytest.raises(FovealError, match=r"missing fc\.2.*unexpected fc\.1.*shape \(3, 16\)"):
        from_original("se", ARGS, weights)


def test_a_key_that_a_builder_reads_is_named_when_it_is_missing():
    with pytest.raises(FovealError, match=r"lack 'hc\.conv\.conv\.weight'"):
        from_original("triplet", {}, {})


def test_weights_that_are_no_dict_are_refused():
    with pytest.raises(FovealError, match="state_dict must be a dict"):
        from_original("se", ARGS, "se.pth")


@pytest.mark.parametrize(
    ("key", "args"),
    [
        ("coordatt", {"inp": 16, "oup": 32}),
        ("sk", {"in_channels": 16, "out_channels": 32}),
        ("sk", {"in_channels": 16, "stride": 2}),
        ("mhsa_vit", {"dim": 16, "dim_out": 32}),
        ("cbam_blog", {"in_chans": 16, "kernel_size": 3}),
        ("cbam_xmu", {"channel": 16, "kernel_size": 8}),
        ("eca", {"channel": 16, "k_size": 4}),
    ],
)
def test_what_would_change_the_shape_is_refused(key, args):
    with pytest.raises(FovealError, match=r"shape|size|middle"):
        from_original(key, args, {})


def test_an_original_blind_to_channels_takes_any_number():
    module = from_original("simam", {}, {})
    for channels in (3, 8):
        assert module(torch.rand(1, channels, 4, 4)).shape == (1, channels, 4, 4)


def test_an_old_checkpoint_without_batch_counts_loads():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    gate = {"spatial.conv.weight": torch.rand(1, 2, 7, 7)}
    gate |= {f"spatial.bn.{name}": torch.ones(1) for name in ("weight", "bias")}
    gate |= {f"spatial.bn.running_{name}": torch.ones(1) for name in ("mean", "var")}
    assert from_original("cbam_spatial", {}, gate)(torch.rand(1, 5, 4, 4)).shape == (1, 5, 4, 4)
    assert from_original(
        "mhsa", {"embed_dim": 8, "num_heads": 2, "batch_first": True}, layer.state_dict()
    )(torch.rand(1, 3, 8)).shape == (1, 3, 8)


@pytest.mark.parametrize("extras", [
    {},
    {"bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "add_bias_kv": True},
    {"kdim": 6, "vdim": 10},
    {"kdim": 6, "add_zero_attn": True, "bias": False},
])  # fmt: skip
@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_attention_with_every_option(extras, batch_first):
    torch.manual_seed(0)
    args = {"embed_dim": 16, "num_heads": 4, "batch_first": batch_first, **extras}
    theirs = nn.MultiheadAttention(**args).double().eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    sizes = (16, extras.get("kdim", 16), extras.get("vdim", 16))
    query, key, value = (torch.randn(5, 5, size, dtype=torch.float64) for size in sizes)
    ours = from_original("mhsa", args, theirs.state_dict())
    wanted = theirs(query, key, value)[0]
    torch.testing.assert_close(ours(query, key, value), wanted, rtol=0, atol=1e-9)


def test_a_bias_absorbed_by_batch_normalisation_changes_nothing_in_training_either():
    """Training mode normalises by the batch, whose mean holds the bias and takes it off again."""
    weights = {"conv1.weight": torch.rand(8, 8, 1, 1), "conv1.bias": torch.rand(8)}
    weights |= {f"bn1.{n}": torch.rand(8) for n in ("weight", "bias", "running_mean")}
    weights |= {"bn1.running_var": torch.rand(8) + 0.5}
    for name in ("conv_h", "conv_w"):
        weights |= {f"{name}.weight": torch.rand(8, 8, 1, 1), f"{name}.bias": torch.rand(8)}
    x = torch.rand(2, 8, 3, 5)
    args = {"inp": 8, "oup": 8}
    with_bias = from_original("coordatt", args, weights).train()(x)
    without = {k: t for k, t in weights.items() if k != "conv1.bias"}
    torch.testing.assert_close(from_original("coordatt", args, without).train()(x), with_bias)


def test_a_key_stands_for_one_original():
    with pytest.raises(FovealError, match="has that key"):
        original("se", source="elsewhere")(ORIGINALS["se"].build)
