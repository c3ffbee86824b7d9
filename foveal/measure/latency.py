"""How long a forward pass takes, beside the bare model's in the same run.

A shared machine drifts: two times taken minutes apart compare the machine with itself. So the model
and the baseline take turns, and the overhead is the ratio of neighbouring times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.measure.state import ExampleInput, call, undisturbed

LEAST_ROUNDS = 10
RESAMPLES = 2000


@dataclass(frozen=True)
class Latency:
    """Times of a forward pass in evaluation mode, in milliseconds."""

    p50_ms: float
    p95_ms: float
    baseline_p50_ms: float | None
    baseline_p95_ms: float | None
    ratio: float | None
    """Median over rounds of the model's time over the baseline's."""
    ratio_interval: tuple[float, float] | None
    """95 % bootstrap interval of that median. It covers the spread within this run alone."""
    rounds: int
    threads: int
    device: str


def measure_latency(
    model: nn.Module,
    example_input: ExampleInput,
    baseline: nn.Module | None = None,
    *,
    seconds: float = 3.0,
) -> Latency:
    """Time the forward pass, taking turns with the baseline if one is given.

    Both are warmed up first and run in evaluation mode without gradients; on a GPU every time ends
    when the device is done.

    Args:
        model: what to time.
        example_input: a tensor, or a tuple of positional or a dict of keyword arguments.
        baseline: the same model without the addition.
        seconds: time to spend, a fifth of it on warming up; never fewer than 10 rounds.

    Raises:
        FovealError: if a model cannot run on the input or stands on the meta device, or if
            `seconds` is not positive.

    >>> found = measure_latency(nn.ReLU(), torch.rand(8), nn.Identity(), seconds=0.01)
    >>> found.p50_ms <= found.p95_ms, found.rounds >= 10
    (True, True)
    """
    if not seconds > 0:
        raise FovealError(f"seconds={seconds} must be positive")
    models = [model] if baseline is None else [model, baseline]
    device = _device(model, example_input)
    if device.type == "meta":
        raise FovealError("latency: the model is on the meta device, where nothing runs; move it")
    if baseline is None:
        with undisturbed(model, training=False), torch.inference_mode():
            times = _take_turns(models, example_input, device, seconds)
    else:
        # The baseline's state is kept first: it may share modules with the model.
        with (
            undisturbed(baseline, training=False),
            undisturbed(model, training=False),
            torch.inference_mode(),
        ):
            times = _take_turns(models, example_input, device, seconds)
    own, bare = times[0], times[1] if baseline is not None else None
    ratios = None if bare is None else own / bare
    return Latency(
        p50_ms=_quantile(own, 0.5),
        p95_ms=_quantile(own, 0.95),
        baseline_p50_ms=None if bare is None else _quantile(bare, 0.5),
        baseline_p95_ms=None if bare is None else _quantile(bare, 0.95),
        ratio=None if ratios is None else _quantile(ratios, 0.5),
        ratio_interval=None if ratios is None else median_interval(ratios),
        rounds=len(own),
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    )


def median_interval(values: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median; the same values give the same interval.

    >>> low, high = median_interval(torch.arange(1.0, 100.0))
    >>> 35 < low < 50 < high < 65
    True
    """
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(len(values), (RESAMPLES, len(values)), generator=generator)
    medians = values[picks].quantile(0.5, dim=1)
    return _quantile(medians, (1 - level) / 2), _quantile(medians, (1 + level) / 2)


def _take_turns(
    models: list[nn.Module], example_input: ExampleInput, device: torch.device, seconds: float
) -> Tensor:
    """Milliseconds per model and round."""
    clock = _gpu_clock(device) if device.type == "cuda" else perf_counter

    def time(model: nn.Module) -> float:
        start = clock()
        call(model, example_input)
        return 1000 * (clock() - start)

    warm_until = perf_counter() + seconds / 5
    for turn in range(10_000):
        for model in models:
            time(model)
        if turn >= 2 and perf_counter() > warm_until:
            break
    stop = perf_counter() + seconds * 4 / 5
    rounds: list[list[float]] = []
    while len(rounds) < LEAST_ROUNDS or perf_counter() < stop:
        # Who goes first alternates, lest one always finds the cache as the other left it.
        order = range(len(models)) if len(rounds) % 2 == 0 else reversed(range(len(models)))
        taken = {i: time(models[i]) for i in order}
        rounds.append([taken[i] for i in range(len(models))])
    return torch.tensor(rounds, dtype=torch.float64).T


def _gpu_clock(device: torch.device) -> Callable[[], float]:
    def clock() -> float:
        torch.cuda.synchronize(device)
        return perf_counter()

    return clock


def _device(model: nn.Module, example_input: ExampleInput) -> torch.device:
    tensor = next(model.parameters(), example_input)
    return tensor.device if isinstance(tensor, Tensor) else torch.device("cpu")


def _quantile(values: Tensor, q: float) -> float:
    return values.quantile(q).item()
