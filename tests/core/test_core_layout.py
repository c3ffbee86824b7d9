"""The adapters between layouts."""

import pytest
import torch
from torch import nn

from foveal import (
    FovealError,
    OnChannelsLast,
    OnClips,
    OnFrames,
    OnMap,
    OnTime,
    OnTokens,
    OnTwoMaps,
    OnVolume,
    create_attention,
)


class Seen(nn.Module):
    """Remembers what it was given, and marks each position with its number."""

    def forward(self, x):
        self.shape = tuple(x.shape)
        return x + torch.arange(x[0].numel()).view(x.shape[1:])

    def attention_map(self, x):
        return x.mean(1)


def test_map_as_tokens_row_by_row():
    x = torch.rand(2, 3, 4, 5)
    inner = Seen()
    y = OnMap(inner)(x)
    assert inner.shape == (2, 20, 3)
    assert (y - x)[0, :, 1, 2].round().tolist() == [7 * 3, 7 * 3 + 1, 7 * 3 + 2]


def test_tokens_as_a_grid_that_is_not_square():
    x = torch.rand(2, 24, 3)
    inner = Seen()
    y = OnTokens(inner, grid=(4, 6))(x)
    assert inner.shape == (2, 3, 4, 6)
    assert (y - x)[0, 7].round().tolist() == [7, 24 + 7, 48 + 7]


def test_class_and_register_tokens_pass_by_untouched():
    x = torch.rand(2, 5 + 24, 3)
    y = OnTokens(create_attention("eca", 3), grid=(4, 6), prefix_tokens=5)(x)
    assert torch.equal(y[:, :5], x[:, :5])
    assert not torch.equal(y[:, 5:], x[:, 5:])


def test_prefix_tokens_have_no_part_in_the_result():
    module = OnTokens(create_attention("eca", 3), grid=(4, 6), prefix_tokens=1)
    x = torch.rand(1, 25, 3)
    other = x.clone()
    other[:, 0] = 100
    assert torch.equal(module(other)[:, 1:], module(x)[:, 1:])


@pytest.mark.parametrize(
    ("grid", "tokens", "size"),
    [
        ((14, 14), 196, (14, 14)),
        ((14, 14), 49, (7, 7)),
        ((14, 14), 256, (16, 16)),
        (None, 81, (9, 9)),
        (None, 1, (1, 1)),
        ((7, 14), 32, (4, 8)),
        ((4, 6), 54, (6, 9)),
        ((2, 3), 24, (4, 6)),
        ((1, 10), 10, (1, 10)),
    ],
)
def test_another_number_of_tokens_keeps_the_proportions(grid, tokens, size):
    inner = Seen()
    OnTokens(inner, grid=grid)(torch.rand(1, tokens, 2))
    assert inner.shape == (1, 2, *size)


@pytest.mark.parametrize(
    ("grid", "tokens", "prefix"),
    [
        (None, 197, 0),
        (None, 24, 0),
        ((4, 6), 25, 0),
        ((4, 6), 23, 0),
        ((14, 14), 1, 1),
        (None, 2, 5),
    ],
)
def test_number_of_tokens_that_no_such_grid_has(grid, tokens, prefix):
    module = OnTokens(Seen(), grid=grid, prefix_tokens=prefix)
    with pytest.raises(FovealError, match=r"make no grid with the proportions of .*prefix_tokens="):
        module(torch.rand(1, tokens, 2))


def test_grid_and_prefix_must_make_sense():
    with pytest.raises(FovealError, match="prefix_tokens=-1 must not be negative"):
        OnTokens(Seen(), prefix_tokens=-1)
    for grid in ((0, 4), (4, -1), (4,), (2, 2, 2), (2.0, 2)):
        with pytest.raises(FovealError, match="must be a height and a width"):
            OnTokens(Seen(), grid=grid)


def test_channels_last():
    x = torch.rand(2, 4, 6, 3)
    inner = Seen()
    y = OnChannelsLast(inner)(x)
    assert inner.shape == (2, 3, 4, 6)
    assert (y - x)[0, 1, 1].round().tolist() == [7, 24 + 7, 48 + 7]


@pytest.mark.parametrize("adapter", [OnMap, OnTokens, OnChannelsLast])
def test_wrong_rank_is_refused(adapter):
    with pytest.raises(FovealError, match=rf"{adapter.__name__} takes .*got shape \(3, 4\)"):
        adapter(Seen())(torch.rand(3, 4))


def test_maps_are_those_of_the_mechanism():
    x = torch.rand(2, 3, 4, 6)
    inner = Seen()
    assert torch.equal(OnMap(inner).attention_map(x), x.flatten(2).mT.mean(1))
    tokens = torch.cat((torch.zeros(2, 1, 3), x.flatten(2).mT), 1)
    grid = OnTokens(inner, grid=(4, 6), prefix_tokens=1)
    assert torch.equal(grid.attention_map(tokens), x.mean(1))
    assert torch.equal(OnChannelsLast(inner).attention_map(x.movedim(1, -1)), x.mean(1))


def test_there_and_back_is_the_mechanism_itself():
    mechanism = create_attention("mhsa", 8)
    x = torch.rand(2, 24, 8)
    there_and_back = OnTokens(OnMap(mechanism), grid=(4, 6))
    torch.testing.assert_close(there_and_back(x), mechanism(x))


def test_adapters_are_exported_with_any_batch():
    module = OnTokens(create_attention("eca", 8), grid=(4, 6), prefix_tokens=1).eval()
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(module, (torch.rand(2, 25, 8),), dynamic_shapes=({0: free},))
    x = torch.rand(5, 25, 8)
    torch.testing.assert_close(program.module()(x), module(x))


def test_every_frame_is_a_map_of_its_own():
    inner = create_attention("eca", 3)
    x = torch.rand(2, 4, 3, 5, 6)
    y = OnFrames(inner)(x)
    for t in range(4):
        torch.testing.assert_close(y[:, t], inner(x[:, t]))
    assert OnFrames(inner).attention_map(x).shape == (8, 3, 1, 1)
    with pytest.raises(FovealError, match="OnFrames takes a video"):
        OnFrames(inner)(x[0])


def test_every_position_has_a_course_over_time():
    x = torch.rand(2, 4, 3, 5, 6)
    inner = Seen()
    y = OnTime(inner)(x)
    assert inner.shape == (60, 3, 4, 1)
    assert (y - x)[1, :, 1, 2, 3].round().tolist() == [4, 5, 6, 7]
    eca = create_attention("eca", 3)
    for i, j in ((0, 0), (2, 5)):
        course = x[..., i, j].mT[..., None]
        torch.testing.assert_close(OnTime(eca)(x)[..., i, j], eca(course)[..., 0].mT)
    assert OnTime(eca).attention_map(x).shape == (60, 3, 1, 1)
    with pytest.raises(FovealError, match="OnTime takes a video"):
        OnTime(eca)(x[0])


def test_a_volume_is_one_map_of_all_frames():
    x = torch.rand(2, 4, 3, 5, 6)
    inner = Seen()
    y = OnVolume(inner)(x)
    assert inner.shape == (2, 3, 20, 6)
    assert (y - x)[0, :, 1, 2, 3].round().tolist() == [120 + 15 + 30 * t for t in range(4)]
    eca = create_attention("eca", 3)
    weights = OnVolume(eca).attention_map(x)
    assert weights.shape == (2, 3, 1, 1)
    torch.testing.assert_close(OnVolume(eca)(x), x * weights[:, None])
    with pytest.raises(FovealError, match="OnVolume takes a video"):
        OnVolume(eca)(x[0])


def test_clips_have_the_channels_before_the_time():
    inner = OnFrames(create_attention("eca", 3))
    x = torch.rand(2, 3, 4, 5, 6)
    y = OnClips(inner)(x)
    torch.testing.assert_close(y[:, :, 1], inner.mechanism(x[:, :, 1]))
    assert OnClips(inner).attention_map(x).shape == (8, 3, 1, 1)
    with pytest.raises(FovealError, match="OnClips takes a clip"):
        OnClips(inner)(x[0])


def test_two_maps_of_other_sizes():
    inner = create_attention("mhsa", 6, num_heads=2)  # takes other tokens as its second argument
    x, context = torch.rand(2, 6, 4, 5), torch.rand(2, 6, 3, 3)
    y = OnTwoMaps(inner)(x, context)
    tokens = inner(x.flatten(2).mT, context.flatten(2).mT)
    torch.testing.assert_close(y.flatten(2).mT, tokens)
    assert OnTwoMaps(inner).attention_map(x, context).shape == (2, 2, 20, 9)
    with pytest.raises(FovealError, match="OnTwoMaps takes maps"):
        OnTwoMaps(inner)(x, context[0])
