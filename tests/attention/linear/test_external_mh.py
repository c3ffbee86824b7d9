from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import ExternalAttention, MultiHeadExternalAttention


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(MultiHeadExternalAttention(4, num_heads=2, num_tokens=3, expansion=2))
    x = torch.randn(2, 5, 4).double()
    y = module(x)
    for b in range(2):
        wide = [module.expand.weight @ token for token in x[b]]  # four heads of two
        outputs = [[] for _ in wide]
        for h in range(4):
            heads = [token[2 * h : 2 * h + 2] for token in wide]
            shares = [[exp(float(head @ row)) for row in module.keys.weight] for head in heads]
            totals = [sum(column) for column in zip(*shares, strict=True)]  # over the tokens
            for n, row in enumerate(shares):
                row = [share / total for share, total in zip(row, totals, strict=True)]
                row = [share / sum(row) for share in row]  # over the memory
                mixed = sum(s * v for s, v in zip(row, module.values.weight.T, strict=True))
                outputs[n].append(mixed + module.values.bias)
        for n, parts in enumerate(outputs):
            torch.testing.assert_close(y[b, n], module.proj(torch.cat(parts)))


def test_is_external_attention_with_heads(stirred):
    module = stirred(MultiHeadExternalAttention(16))
    other = ExternalAttention(16, num_heads=4).double().eval()
    other.load_state_dict(module.state_dict())
    x = torch.randn(2, 9, 16).double()
    assert torch.equal(module(x), other(x))


def test_the_authors_widths():
    """Heads and width four times those of the tokens, 64 rows."""
    module = MultiHeadExternalAttention(256)
    assert (module.heads, module.inner, module.num_tokens) == (32, 1024, 64)
    assert MultiHeadExternalAttention(7).heads == 4


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(FovealError, match="num_heads=3"):
        MultiHeadExternalAttention(8, num_heads=3)
