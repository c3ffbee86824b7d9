"""All that one model costs on one input, with the environment it was measured in."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from foveal.core.errors import FovealError
from foveal.measure.environment import environment
from foveal.measure.flops import FlopCount, compare_flops, torch_counts
from foveal.measure.latency import Latency, measure_latency
from foveal.measure.operations import count_operations
from foveal.measure.parameters import parameter_count
from foveal.measure.state import ExampleInput, describe
from foveal.measure.traffic import Traffic, count_traffic


@dataclass(frozen=True)
class Measurement:
    """What a model costs. All but the latency is counted, and the same on every run."""

    input: str
    """The example input in words."""
    parameters: int
    trainable: int
    flops: FlopCount
    multiply_adds: int
    """Of a forward pass, elementwise arithmetic included."""
    uncounted: tuple[str, ...]
    """Operations that compute something and that no rule counts."""
    bytes_moved: int
    """By the kernels of a forward pass."""
    peak_memory: int
    """Bytes that a forward pass holds beyond parameters, buffers and input."""
    training: Traffic | None
    """The same for a forward and backward pass; None for a model with nothing to train."""
    latency: Latency | None
    environment: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The measurement as plain data, for JSON."""
        return asdict(self)


def measure(
    model: nn.Module,
    example_input: ExampleInput,
    *,
    baseline: nn.Module | None = None,
    latency: bool = True,
    seconds: float = 3.0,
) -> Measurement:
    """Measure a model; its training flags, gradients and buffers and the random state stay.

    Args:
        model: any module.
        example_input: a tensor, or a tuple of positional or a dict of keyword arguments.
        baseline: the bare model, for the overhead in time as a ratio taken in one run.
        latency: whether to take times as well.
        seconds: time to spend on the latency.

    Raises:
        FovealError: if the model cannot run on the input.

    >>> from foveal.measure import measure
    >>> measure(nn.Linear(4, 5), torch.zeros(2, 4), latency=False).multiply_adds
    40
    """
    operations = count_operations(model, example_input)
    forward = count_traffic(model, example_input)
    times = measure_latency(model, example_input, baseline, seconds=seconds) if latency else None
    learns = any(parameter.requires_grad for parameter in model.parameters())
    return Measurement(
        input=describe(example_input),
        parameters=parameter_count(model),
        trainable=parameter_count(model, trainable=True),
        flops=compare_flops(torch_counts(model, example_input), operations),
        multiply_adds=operations.multiply_adds,
        uncounted=tuple(sorted(operations.unknown)),
        bytes_moved=forward.bytes_moved,
        peak_memory=forward.peak_memory,
        training=_training(model, example_input) if learns else None,
        latency=times,
        environment=environment(),
    )


def _training(model: nn.Module, example_input: ExampleInput) -> Traffic | None:
    try:
        return count_traffic(model, example_input, "train")
    except FovealError:
        return None  # such as batch norm over a single value per channel
