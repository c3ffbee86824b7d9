import torch

from foveal.attention import CBAM


def test_gates_the_channels_first_and_then_the_positions(stirred, tiny):
    cbam = stirred(CBAM(6, reduction=2, kernel_size=3))
    pooled = [tiny.mean((2, 3)), tiny.amax((2, 3))]
    scores = sum(cbam.channel.excite(cbam.channel.squeeze(p).clamp(min=0)) for p in pooled)
    gated = tiny * scores.sigmoid()[:, :, None, None]
    stacked = torch.stack((gated.amax(1), gated.mean(1)), 1)
    spatial = cbam.spatial.bn(cbam.spatial.conv(stacked)).sigmoid()
    torch.testing.assert_close(cbam(tiny), gated * spatial)


def test_the_map_is_the_factor_on_every_value(stirred, tiny):
    for residual in (False, True):
        cbam = stirred(CBAM(6, residual=residual))
        weights = cbam.attention_map(tiny)
        torch.testing.assert_close(cbam(tiny), tiny * weights)
        assert (weights > residual).all()
        assert (weights < 1 + residual).all()


def test_parameters_are_the_papers():
    """Without the authors' biases and normalisation: 2 C² / r and one 7 × 7 filter of two maps."""
    module = CBAM(64, bias=False, norm=False)
    assert sum(p.numel() for p in module.parameters()) == 2 * 64 * 64 // 16 + 2 * 49
