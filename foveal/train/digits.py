"""Scanned digits on a cluttered canvas: small, offline, and not solved."""

import numpy as np
import torch
from torch import Tensor

from foveal.core.errors import require

CANVAS = 16
CLUTTER = 5
PATCH = 3


def cluttered_digits(copies: int = 2, clutter: int = CLUTTER) -> tuple[Tensor, Tensor, Tensor]:
    """scikit-learn's 8×8 digits, each among pieces of other digits, at a random place.

    The digits are split first, and the pieces are cut from digits of the same split, so that no
    ink of a test picture was seen in training. All draws come from one fixed seed: every caller on
    every machine gets the same pictures.

    Args:
        copies: canvases made of each training digit; each test digit gets one.
        clutter: pieces of other digits on each canvas.

    Returns:
        Pictures (N, 1, 16, 16) in [0, 1], labels (N,), and whether each is for testing (N,).
    """
    digits = require("sklearn.datasets", "study").load_digits()
    images = digits.images.astype(np.float32) / 16
    labels = digits.target.astype(np.int64)
    draw = np.random.default_rng(20240)
    order = draw.permutation(len(images))
    test, train = order[: len(order) // 3], order[len(order) // 3 :]
    pictures, answers, testing = [], [], []
    for split, times in ((train, copies), (test, 1)):
        for index in np.tile(split, times):
            pictures.append(_canvas(images, labels, index, split, clutter, draw))
            answers.append(labels[index])
            testing.append(split is test)
    return (
        torch.from_numpy(np.stack(pictures))[:, None],
        torch.from_numpy(np.array(answers)),
        torch.from_numpy(np.array(testing)),
    )


def _canvas(
    images: np.ndarray,
    labels: np.ndarray,
    index: int,
    split: np.ndarray,
    clutter: int,
    draw: np.random.Generator,
) -> np.ndarray:
    """One digit whole, at a random place, above pieces of digits of other classes."""
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    others = split[labels[split] != labels[index]]
    for other in draw.choice(others, clutter):
        y, x = draw.integers(0, images.shape[1] - PATCH + 1, 2)
        piece = images[other, y : y + PATCH, x : x + PATCH]
        _paste(canvas, piece, *draw.integers(0, CANVAS - PATCH + 1, 2))
    _paste(canvas, images[index], *draw.integers(0, CANVAS - images.shape[1] + 1, 2))
    return canvas


def _paste(canvas: np.ndarray, piece: np.ndarray, y: int, x: int) -> None:
    """Ink upon ink: the darker stays."""
    window = canvas[y : y + piece.shape[0], x : x + piece.shape[1]]
    np.maximum(window, piece, out=window)
