import pytest
import torch

from foveal import FovealError
from foveal.ops.heads import head_count
from foveal.ops.window import pad_to_multiple
from foveal.ops.window_attend import (
    attend_windows,
    from_windows,
    roll_map,
    to_windows,
    window_mask,
    window_weights,
)


@pytest.mark.parametrize("size", [(8, 12), (6, 9), (1, 1), (3, 16), (4, 4)])
@pytest.mark.parametrize("shift", [(0, 0), (2, 1)])
def test_windows_put_together_are_the_map(size, shift):
    x = torch.randn(2, 3, *size)
    tokens, _ = to_windows(x, (4, 4), shift)
    assert torch.equal(from_windows(tokens, (4, 4), *size, shift), x)


@pytest.mark.parametrize("size", [(6, 9), (8, 8), (3, 10), (2, 2)])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_positions_belong_together_if_a_shifted_grid_of_windows_says_so(size, shift):
    """Row r lies in window ⌊(r − s) / 4⌋ of the shifted grid: the roll must not join −1 and n."""
    numbers = torch.arange(1.0, 1 + size[0] * size[1]).view(1, 1, *size)
    tokens, mask = to_windows(numbers, (4, 4), (shift, shift))
    seen = set()
    for window, numbers in enumerate(tokens[0, :, :, 0].int().tolist()):
        for i, first in enumerate(numbers):
            for j, second in enumerate(numbers):
                if first and second and (mask is None or mask[window, i, j]):
                    seen.add((first, second))
                if mask is not None and (first == 0) != (second == 0):
                    assert not mask[window, i, j]
    steps = [shift if n > 4 else 0 for n in size]

    def window_of(number):
        position = divmod(number - 1, size[1])
        return [(p - s) // 4 for p, s in zip(position, steps, strict=True)]

    count = size[0] * size[1]
    wanted = {
        (i, j)
        for i in range(1, count + 1)
        for j in range(1, count + 1)
        if window_of(i) == window_of(j)
    }
    assert seen == wanted


def test_no_mask_where_none_is_needed():
    assert window_mask(8, 4, (4, 4)) is None
    assert window_mask(8, 4, (4, 4), (0, 1)) is not None
    x = torch.rand(1, 2, 8, 4)
    assert pad_to_multiple(x, (4, 4)) is x


def test_roll_is_torchs():
    x = torch.randn(1, 2, 5, 7)
    assert torch.equal(roll_map(x, 2, -3), torch.roll(x, (-2, 3), (2, 3)))


@pytest.mark.parametrize("masked", [None, "bool", "float"])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_is_its_weights_times_the_values(masked, biased):
    q, k, v = torch.randn(3, 2, 3, 4, 6).double()
    mask = torch.rand(3, 4, 4) < 0.7
    mask |= torch.eye(4).bool()
    mask = {None: None, "bool": mask, "float": torch.where(mask, 0.0, -9.0).double()}[masked]
    bias = torch.randn(2, 4, 4).double() if biased else None
    found = attend_windows(q, k, v, 2, bias=bias, mask=mask, scale=0.7)
    weights = window_weights(q, k, 2, bias=bias, mask=mask, scale=0.7)
    wanted = (weights @ v.unflatten(-1, (2, 3)).transpose(2, 3)).transpose(2, 3).flatten(3)
    torch.testing.assert_close(found, wanted)
    if masked == "bool":
        assert (weights[:, ~mask[:, None].expand(3, 2, 4, 4)] == 0).all()


def test_an_export_takes_one_window_and_many():
    class Windows(torch.nn.Module):
        def forward(self, x):
            tokens, mask = to_windows(x, (4, 4), (2, 2))
            y = attend_windows(tokens, tokens, tokens, 1, mask=mask)
            return from_windows(y, (4, 4), *x.shape[2:], (2, 2))

    free = torch.export.Dim.DYNAMIC
    for traced in (6, 9), (3, 3), (8, 12):
        x = torch.randn(2, 3, *traced)
        program = torch.export.export(Windows(), (x,), dynamic_shapes=({2: free, 3: free},))
        for size in (4, 4), (5, 3), (2, 11), (12, 8):
            y = torch.randn(2, 3, *size)
            torch.testing.assert_close(program.module()(y), Windows()(y))


def test_heads_asked_for_must_divide():
    assert head_count(96, 4) == 4
    with pytest.raises(FovealError, match="channels=20 do not divide into num_heads=3"):
        head_count(20, 3)
