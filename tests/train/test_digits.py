import hashlib

import torch

from foveal.train.digits import cluttered_digits


def test_every_call_gives_the_same_pictures():
    first, second = cluttered_digits(), cluttered_digits()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    digest = hashlib.sha256((first[0] * 16).to(torch.uint8).numpy().tobytes()).hexdigest()
    assert digest[:16] == "54f6a5153dd1bcb6", (
        "the pictures changed: published accuracies no longer hold"
    )


def test_shapes_and_range():
    pictures, labels, testing = cluttered_digits(copies=3)
    assert pictures.shape[1:] == (1, 16, 16)
    assert (int(testing.sum()), int((~testing).sum())) == (599, 3 * 1198)
    assert pictures.min() >= 0
    assert pictures.max() == 1
    assert sorted(labels.unique().tolist()) == list(range(10))


def test_no_scanned_digit_is_in_both_sets():
    # without clutter a canvas holds its digit alone: compare the ink itself
    pictures, _, testing = cluttered_digits(copies=1, clutter=0)

    def ink(picture):
        rows = picture.any(1).nonzero().flatten()
        columns = picture.any(0).nonzero().flatten()
        cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return (tuple(cut.shape), cut.numpy().tobytes())

    train = {ink(p[0]) for p in pictures[~testing]}
    test = {ink(p[0]) for p in pictures[testing]}
    assert not train & test


def test_clutter_is_ink_beside_the_digit():
    plain, _, _ = cluttered_digits(copies=1, clutter=0)
    cluttered, _, _ = cluttered_digits(copies=1)
    assert cluttered.mean() > 1.2 * plain.mean()
