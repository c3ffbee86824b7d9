from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import BiFormer


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
@pytest.mark.parametrize("key_channels", [4, 6])
def test_is_the_sum_written_by_hand(stirred, size, key_channels):
    attention = stirred(
        BiFormer(4, num_heads=2, regions=2, topk=2, key_channels=key_channels, kernel_size=1)
    )
    x = torch.randn(4, *size).double()
    qkv = torch.einsum("oc,chw->ohw", attention.qkv.weight[..., 0, 0], x)
    qkv += attention.qkv.bias[:, None, None]
    q, k, v = qkv.split((key_channels, key_channels, 4))
    height, width = -(-size[0] // 2), -(-size[1] // 2)
    regions = {}
    for row in range(size[0]):
        for column in range(size[1]):
            regions.setdefault((row // height, column // width), []).append((row, column))

    def mean(t, region):
        return sum(t[:, r, c] for r, c in regions[region]) / len(regions[region])

    mixed = torch.zeros_like(x)
    d = key_channels // 2
    for region, places in regions.items():
        match = {other: float(mean(q, region) @ mean(k, other)) for other in regions}
        best = sorted(match, key=match.get, reverse=True)[:2]
        seen = [place for other in best for place in regions[other]]
        for i in places:
            for head in range(2):
                part, own = slice(head * d, head * d + d), slice(2 * head, 2 * head + 2)
                scores = [exp(float(q[(part, *i)] @ k[(part, *j)]) / sqrt(2 * d)) for j in seen]
                total = sum(s * v[(own, *j)] for s, j in zip(scores, seen, strict=True))
                mixed[(own, *i)] = total / sum(scores)
    mixed += v * attention.local.weight[:, 0] + attention.local.bias[:, None, None]
    wanted = torch.einsum("oc,chw->ohw", attention.proj.weight[..., 0, 0], mixed)
    wanted += attention.proj.bias[:, None, None]
    torch.testing.assert_close(attention(x[None])[0], wanted)


def test_the_choice_depends_on_the_image(stirred):
    attention = stirred(BiFormer(8, regions=3, topk=2))
    chosen = []
    for seed in range(2):
        x = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(seed)).double()
        tokens = attention.qkv(x).unflatten(3, (3, 2)).unflatten(2, (3, 2))
        tokens = tokens.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)
        chosen.append(attention._chosen(tokens[..., :8], tokens[..., 8:16], None))
    assert chosen[0].shape == (1, 9, 2)
    assert not torch.equal(*chosen)


def test_with_every_region_chosen_it_is_attention_to_the_whole_map(stirred):
    attention = stirred(BiFormer(8, num_heads=1, regions=2, topk=4, kernel_size=0))
    x = torch.randn(1, 8, 4, 6).double()
    q, k, v = attention.qkv(x).flatten(2).mT.chunk(3, dim=-1)
    y = ((q @ k.mT * 8**-0.5).softmax(-1) @ v).mT.unflatten(2, (4, 6))
    torch.testing.assert_close(attention(x), attention.proj(y))


def test_a_map_smaller_than_the_regions_has_empty_ones_that_nobody_sees(stirred):
    attention = stirred(BiFormer(4, regions=7, topk=4))
    weights = attention.attention_map(torch.randn(1, 4, 1, 2).double())
    assert weights.shape == (1, 49, 1, 1, 4)
    assert ((weights > 0).sum(-1) == 2).all()


@pytest.mark.parametrize(
    "options",
    [{"num_heads": 3}, {"key_channels": 9}, {"topk": 50}, {"regions": 0}, {"kernel_size": 2}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        BiFormer(16, **options)
