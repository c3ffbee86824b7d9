"""Average precision by size: small cases by hand, and the whole against ultralytics' own."""

import numpy as np
import pytest

from foveal.yolo.average_precision import THRESHOLDS, Seen, mean_average_precision, sides

SMALL, LARGE = [0, 0, 10, 10], [20, 20, 60, 60]


def seen(found: list, true: list, confidence: list | None = None) -> Seen:
    boxes = np.array(found, float).reshape(-1, 4)
    return Seen(
        boxes,
        np.array(confidence if confidence is not None else [0.9] * len(boxes)),
        np.zeros(len(boxes)),
        np.array(true, float).reshape(-1, 4),
        np.zeros(len(true)),
    )


def test_all_found_is_one_and_nothing_found_is_zero():
    assert mean_average_precision([seen([SMALL, LARGE], [SMALL, LARGE])]) == 1.0
    assert mean_average_precision([seen([], [SMALL])]) == 0.0


def test_half_found_by_hand():
    """One of two, with no false one: precision 1 up to recall 0.5, at 51 of 101 recalls."""
    assert mean_average_precision([seen([SMALL], [SMALL, LARGE])]) == pytest.approx(51 / 101)


def test_overlap_decides_at_each_threshold():
    """A box shifted by 2 of 10 pixels overlaps by 80 of 120: right at 0.5 to 0.65."""
    shifted = [2, 0, 12, 10]
    assert mean_average_precision([seen([shifted], [SMALL])]) == pytest.approx(4 / len(THRESHOLDS))


def test_a_false_box_before_the_right_one_halves_the_precision():
    false = [70, 70, 80, 80]
    found = mean_average_precision([seen([false, SMALL], [SMALL], [0.9, 0.8])])
    assert found == pytest.approx(0.5)
    assert mean_average_precision([seen([false, SMALL], [SMALL], [0.7, 0.8])]) == 1.0


def test_other_sizes_are_left_out_on_both_sides():
    picture = seen([LARGE], [SMALL, LARGE])  # the large one found, the small one missed
    assert mean_average_precision([picture], 0, 20) == 0.0
    assert mean_average_precision([picture], 20, np.inf) == 1.0
    # a false box counts where its own size does
    false = seen([[70, 70, 78, 78], LARGE], [SMALL, LARGE], [0.9, 0.8])
    assert mean_average_precision([false], 20, np.inf) == 1.0
    assert np.isnan(mean_average_precision([picture], 100, np.inf))


def test_an_object_is_found_once():
    assert mean_average_precision([seen([SMALL, SMALL], [SMALL, LARGE])]) < 0.51


def test_against_ultralytics():
    """On boxes shaken at random, within what the two ways of integrating differ by."""
    pytest.importorskip("ultralytics")
    from ultralytics.utils.metrics import ap_per_class

    from foveal.yolo.average_precision import _match, _overlaps

    rng = np.random.default_rng(0)
    pictures, hits = [], []
    for _ in range(60):
        corner = rng.uniform(0, 80, (6, 2))
        true = np.hstack([corner, corner + rng.uniform(8, 40, (6, 2))])
        found = np.vstack([true[:5] + rng.normal(0, 2, (5, 4)), true[:2] + 30])
        picture = Seen(found, rng.random(7), rng.integers(0, 2, 7), true, rng.integers(0, 2, 6))
        pictures.append(picture)
        for number in (0, 1):
            mine, there = picture.classes == number, picture.true_classes == number
            order = np.argsort(-picture.confidence[mine], kind="stable")
            boxes, everything = found[mine][order], np.ones(int(there.sum()), bool)
            hit, _ = _match(_overlaps(boxes, true[there]), everything, np.ones(len(boxes), bool))
            hits.append((hit.T, picture.confidence[mine][order], np.full(len(boxes), number)))
    theirs = ap_per_class(
        np.concatenate([h[0] for h in hits]),
        np.concatenate([h[1] for h in hits]),
        np.concatenate([h[2] for h in hits]),
        np.concatenate([p.true_classes for p in pictures]),
    )[5]
    assert mean_average_precision(pictures) == pytest.approx(float(theirs.mean()), abs=0.01)


def test_sides():
    assert sides(np.array([[0, 0, 4, 9], [5, 5, 5, 9]])).tolist() == [6.0, 0.0]
