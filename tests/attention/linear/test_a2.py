from math import exp

import torch

from foveal.attention import DoubleAttention
from foveal.measure import count_traffic


def softmax(scores):
    shares = [exp(float(score)) for score in scores]
    return [share / sum(shares) for share in shares]


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(DoubleAttention(6, hidden=5, num_tokens=3))
    y = module(tiny)
    for image, found in zip(tiny.flatten(2), y.flatten(2), strict=True):
        columns = image.T  # position by position
        a = [module.value(column) for column in columns]
        scores = [module.gather.weight[..., 0, 0] @ column for column in columns]
        taken = [softmax(score[t] for score in scores) for t in range(3)]  # over positions
        descriptors = [sum(s * v for s, v in zip(taken[t], a, strict=True)) for t in range(3)]
        for n, column in enumerate(columns):
            weight, bias = module.distribute.weight[..., 0, 0], module.distribute.bias
            given = softmax(weight @ column + bias)  # over descriptors
            mixed = sum(s * d for s, d in zip(given, descriptors, strict=True))
            torch.testing.assert_close(found[:, n], module.proj(mixed))


def test_both_orders_of_the_layers_agree(stirred, monkeypatch):
    module = stirred(DoubleAttention(16))
    few, many = (torch.randn(2, 16, *size).double() for size in ((2, 3), (9, 8)))
    assert module._few(few)
    assert not module._few(many)
    for x in few, many:
        monkeypatch.setattr(module, "_few", lambda _: True)
        on_positions = module(x)
        monkeypatch.setattr(module, "_few", lambda _: False)
        torch.testing.assert_close(on_positions, module(x))


def test_the_papers_widths():
    module = DoubleAttention(512)
    assert (module.hidden, module.num_tokens) == (128, 128)
    assert DoubleAttention(8).num_tokens == 4


def test_what_it_moves():
    x = torch.randn(2, 256, 28, 28)
    moved = count_traffic(DoubleAttention(256).eval(), x, "infer").bytes_moved
    assert moved < 7 * x.numel() * x.element_size()
