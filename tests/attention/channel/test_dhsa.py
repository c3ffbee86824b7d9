from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import DHSA


def by_hand(dhsa, x):
    """One image, position by position."""
    channels, height, width = x.shape
    size, bins, heads = height * width, dhsa.bins, dhsa.num_heads
    front = x[: channels // 2]
    columns, of_rows = front.sort(1)
    rows, of_columns = columns.sort(2)
    mixed = torch.cat((rows, x[channels // 2 :]))[None]
    seen = dhsa.surroundings(dhsa.qkv(mixed))[0].flatten(1)
    q1, k1, q2, k2, v = seen.split(channels)
    product = torch.ones(channels, size).double()
    length = -(-size // bins)
    for q, k, near in ((q1, k1, True), (q2, k2, False)):
        # Where in the sorted order a bin's member stands, by bin and place in it.
        places = [
            [(b * length + i) if near else (i * bins + b) for i in range(length)]
            for b in range(bins)
        ]
        table = {}
        for c in range(channels):
            order = sorted(range(size), key=lambda p, c=c: float(v[c, p]))
            for b in range(bins):
                members = [order[p] if p < size else None for p in places[b]]
                table[c, b] = {
                    name: torch.tensor([0.0 if m is None else float(part[c, m]) for m in members])
                    for name, part in (("q", q), ("k", k), ("v", v))
                } | {"members": members}
        width_of_head = channels // heads
        for (c, _), row in table.items():
            head = c // width_of_head
            mates = [key for key in table if key[0] // width_of_head == head]
            shares = []
            for key in mates:
                cosine = F.cosine_similarity(row["q"], table[key]["k"], dim=0)
                shares.append(exp(float(dhsa.temperature[head]) * float(cosine)))
            total = 1 + sum(shares)
            taken = sum(s / total * table[key]["v"] for s, key in zip(shares, mates, strict=True))
            for place, member in enumerate(row["members"]):
                if member is not None:
                    product[c, member] *= taken[place]
    y = dhsa.proj(product.view(1, channels, height, width))[0]
    for c in range(channels // 2):
        back = torch.zeros_like(y[c])
        for i in range(height):
            for j in range(width):
                column = int(of_columns[c, i, j])
                back[int(of_rows[c, i, column]), column] = y[c, i, j]
        y[c] = back
    return y


@pytest.mark.parametrize(("heads", "bins"), [(2, None), (1, 5)])
def test_is_the_sum_written_by_hand(stirred, tiny, heads, bins):
    torch.set_default_dtype(torch.float64)
    try:
        dhsa = stirred(DHSA(6, num_heads=heads, bins=bins, bias=True))
        y = dhsa(tiny)
        for b in range(2):
            torch.testing.assert_close(y[b], by_hand(dhsa, tiny[b]))
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("channels", "heads"), [(36, 1), (72, 2), (144, 4), (288, 8), (8, 1)])
def test_heads_and_bins_are_the_papers(channels, heads):
    """Histoformer's four levels have 36, 72, 144 and 288 channels in 1, 2, 4 and 8 heads."""
    dhsa = DHSA(channels)
    assert dhsa.num_heads == dhsa.bins == heads


def test_one_channel_has_no_half():
    assert DHSA(1)(torch.randn(1, 1, 3, 4)).shape == (1, 1, 3, 4)


def test_what_does_not_fit_is_refused():
    for options in ({"num_heads": 3}, {"bins": 0}, {"kernel_size": 2}):
        with pytest.raises(FovealError):
            DHSA(16, **options)
