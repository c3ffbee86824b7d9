"""Times that a test can set, so that what follows from them is the same on every machine."""

import pytest

from foveal.choose import trial
from foveal.measure.latency import Latency
from foveal.surgery.remove import inserted_modules


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Time over bare by the mechanism's class, 1.01 for others; the bare host takes 10 ms."""
    told: dict[str, float] = {}

    def measured(model, example, baseline, *, seconds):
        (name,) = {type(one.mechanism).__name__ for one in inserted_modules(model).values()}
        ratio = told.get(name, 1.01)
        return Latency(
            10 * ratio, 12.0, 10.0, 12.0, ratio, (ratio - 0.005, ratio + 0.005), 10, 1, "cpu"
        )

    monkeypatch.setattr(trial, "measure_latency", measured)
    return told
