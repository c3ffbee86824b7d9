from math import exp, log, log2

import pytest
import torch

from foveal import FovealError
from foveal.attention import SwinV2


@pytest.mark.parametrize("shift", [0, 1])
def test_is_the_sum_written_by_hand(stirred, shift):
    swin = stirred(SwinV2(4, num_heads=2, window_size=3, shift_size=shift, hidden=5))
    x = torch.randn(4, 5, 4).double()
    places = [(r, c) for r in range(5) for c in range(4)]

    def window_of(place):
        return [(p - shift) // 3 for p in place]

    def on_the_scale(step):
        return (1 if step > 0 else -1) * log2(1 + abs(8 * step / 2)) / 3

    def bias(i, j, head):
        coordinates = torch.tensor([on_the_scale(a - b) for a, b in zip(i, j, strict=True)])
        hidden = (swin.bias.mlp[0].weight @ coordinates.double() + swin.bias.mlp[0].bias).relu()
        return 16 / (1 + exp(-float(swin.bias.mlp[2].weight[head] @ hidden)))

    weights = swin.qkv.weight.chunk(3)
    biases = swin.query_bias, 0, swin.value_bias
    q, k, v = (
        {p: w @ x[:, p[0], p[1]] + b for p in places} for w, b in zip(weights, biases, strict=True)
    )
    wanted = torch.zeros_like(x)
    for i in places:
        heads = []
        for head in range(2):
            part, sharpness = (
                slice(2 * head, 2 * head + 2),
                exp(min(swin.sharpness[head], log(100))),
            )
            scores = {
                j: exp(
                    sharpness * float(torch.cosine_similarity(q[i][part], k[j][part], dim=0))
                    + bias(i, j, head)
                )
                for j in places
                if window_of(i) == window_of(j)
            }
            heads.append(sum(e * v[j][part] for j, e in scores.items()) / sum(scores.values()))
        wanted[:, i[0], i[1]] = swin.proj.weight @ torch.cat(heads) + swin.proj.bias
    torch.testing.assert_close(swin(x[None])[0], wanted, atol=1e-6, rtol=1e-6)  # float32 scale


def test_scores_do_not_grow_with_the_activations(stirred):
    swin = stirred(SwinV2(8, num_heads=2, window_size=4, qkv_bias=False))
    x = torch.randn(1, 8, 4, 4).double()
    torch.testing.assert_close(swin.attention_map(100 * x), swin.attention_map(x))


def test_sharpness_is_born_10_and_is_100_at_most(stirred):
    assert SwinV2(64).sharpness.exp().tolist() == [[pytest.approx(10)], [pytest.approx(10)]]
    swin = stirred(SwinV2(4, window_size=2))
    x = torch.randn(1, 4, 2, 2).double()
    swin.sharpness.fill_(log(100))
    wanted = swin(x)
    swin.sharpness.fill_(9)
    torch.testing.assert_close(swin(x), wanted)


def test_weights_of_a_small_window_serve_a_large_one(stirred):
    """With `trained_window`, pairs that both windows have keep their bias."""
    small = stirred(SwinV2(4, window_size=4))
    large = SwinV2(4, window_size=8, trained_window=4).double()
    large.load_state_dict(small.state_dict())
    of_large = large.bias().unflatten(2, (8, 8)).unflatten(1, (8, 8))[:, :4, :4, :4, :4]
    torch.testing.assert_close(of_large.flatten(3).flatten(1, 2), small.bias())


def test_nothing_in_half_precision_is_no_number():
    swin = SwinV2(8, window_size=2, qkv_bias=False).half()
    assert swin(torch.zeros(1, 8, 2, 2).half()).isfinite().all()


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"trained_window": 0}, {"shift_size": 8}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        SwinV2(16, **options)
