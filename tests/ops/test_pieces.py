import pytest
import torch

from foveal import create_attention
from foveal.ops.pieces import WORTH_IT, in_pieces


@pytest.mark.parametrize("name", ["axial", "halo"])
def test_pieces_change_nothing(name):
    torch.manual_seed(0)
    module, x = create_attention(name, 64).eval(), torch.randn(5, 64, 29, 29)
    assert x.numel() >= WORTH_IT
    with torch.no_grad():
        pieces = module(x)
    torch.testing.assert_close(pieces, module(x).detach())


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_as_many_pieces_as_images_at_most(images):
    seen = []

    def function(x):
        seen.append(len(x))
        return x

    x = torch.randn(images, 16, 128, 128)
    with torch.no_grad():
        assert in_pieces(function, x, 4).equal(x)
    assert seen == {1: [1], 2: [1, 1], 3: [1, 1, 1], 5: [2, 2, 1]}[images]


def test_one_piece_in_training_and_of_small_maps():
    seen = []
    in_pieces(lambda x: seen.append(len(x)) or x, torch.randn(2, 16, 128, 128), 2)
    with torch.no_grad():
        in_pieces(lambda x: seen.append(len(x)) or x, torch.randn(2, 3, 4, 4), 2)
    assert seen == [2, 2]
