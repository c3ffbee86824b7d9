from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Nystrom
from foveal.attention.linear.nystrom import segment_means
from foveal.ops.attend import attention_weights


def softmax_rows(queries, keys):
    rows = []
    for q in queries:
        exponentials = [exp(float(q @ k) / sqrt(len(q))) for k in keys]
        rows.append([e / sum(exponentials) for e in exponentials])
    return torch.tensor(rows).double()


def test_is_the_sum_written_by_hand(stirred, tiny):
    """Twelve positions, three landmarks of four; enough steps for the true pseudo-inverse."""
    module = stirred(Nystrom(6, num_heads=2, num_landmarks=3, kernel_size=3, steps=40))
    y = module(tiny).flatten(2).mT
    for b in range(2):
        tokens = tiny[b].flatten(1).T
        parts = (tokens @ module.qkv.weight.T + module.qkv.bias).split(6, dim=-1)
        heads = []
        for h in range(2):
            q, k, v = (part[:, 3 * h : 3 * h + 3] for part in parts)
            some_q, some_k = (
                torch.stack([sum(t[4 * s : 4 * s + 4]) / 4 for s in range(3)]) for t in (q, k)
            )
            inverse = torch.linalg.pinv(softmax_rows(some_q, some_k))
            wanted = softmax_rows(q, some_k) @ inverse @ softmax_rows(some_q, k) @ v
            taps = module.conv.weight[h, 0, :, 0]
            for n in range(12):
                for tap in range(3):
                    if 0 <= n + tap - 1 < 12:
                        wanted[n] += taps[tap] * v[n + tap - 1]
            heads.append(wanted)
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted, rtol=1e-5, atol=1e-5)


def test_a_landmark_for_every_position_is_softmax_attention(stirred, tiny):
    module = stirred(Nystrom(6, num_heads=1, num_landmarks=12, kernel_size=0, steps=60))
    tokens = tiny.flatten(2).mT
    q, k, _ = (tokens @ module.qkv.weight.T + module.qkv.bias).split(6, dim=-1)
    torch.testing.assert_close(
        module.attention_map(tiny)[:, 0], attention_weights(q, k), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("positions", "segments"), [(12, 4), (7, 4), (3, 5), (1, 64)])
def test_segments_are_means_of_equal_stretches(positions, segments):
    means = segment_means(positions, segments, torch.zeros(1).double())
    torch.testing.assert_close(means.sum(1), torch.ones(segments).double())
    torch.testing.assert_close(
        means.sum(0), torch.full((positions,), segments / positions).double()
    )
    if positions == 12:
        assert means[1].tolist() == [0, 0, 0, *[1 / 3] * 3, *[0] * 6]


def test_options_are_checked():
    with pytest.raises(FovealError, match="kernel_size=4"):
        Nystrom(8, kernel_size=4)
    with pytest.raises(FovealError, match="num_landmarks=0"):
        Nystrom(8, num_landmarks=0)
    with pytest.raises(FovealError, match="num_heads=3"):
        Nystrom(8, num_heads=3)
