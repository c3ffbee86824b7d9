"""Where a mechanism can go."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from foveal.surgery.feature import Feature, FeatureLayout
from foveal.surgery.hosts.adapter import adapted
from foveal.surgery.roles import attention_layers, blocks, residual_branch_ends, stage_ends
from foveal.surgery.trace import Trace, trace


@dataclass(frozen=True)
class Target:
    """A module whose output a mechanism can take."""

    path: str
    cls: str
    channels: int
    stride: int | None
    """Pixels of the example per position, or None if the size is not known."""
    size: tuple[int, int] | None
    """Height and width; for tokens those of their grid, if it is known."""
    layout: FeatureLayout
    roles: tuple[str, ...]
    """Of `stage_end`, `block_end`, `residual_branch` (its last module), `attention`."""
    calls: int
    """How often the module runs in one forward pass."""
    grid: tuple[int, int] | None
    """For tokens: the grid they come from."""
    prefix_tokens: int

    def as_dict(self) -> dict[str, Any]:
        """The target as plain data, for JSON."""
        return asdict(self)


def find_targets(model: nn.Module, example_input: Any = None) -> list[Target]:
    """The modules of a model whose outputs a mechanism can take, as one forward pass shows them.

    Args:
        model: any host; it is left as it is.
        example_input: what to call it with: a tensor, a tuple of arguments or a dict of keyword
            arguments. Default: two images of the size that the host says it takes.

    Raises:
        FovealError: if the forward pass fails, or the host cannot take new modules.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    >>> targets = find_targets(host, torch.rand(1, 3, 9, 9))
    >>> [(t.path, t.channels, t.stride, t.roles) for t in targets]
    [('0', 8, 2, ()), ('1', 8, 2, ('stage_end',))]
    """
    network, adapter = adapted(model)
    example = adapter.example(network) if example_input is None else example_input
    with adapter.undisturbed(network):
        return targets_of(trace(network, example))


def targets_of(traced: Trace) -> list[Target]:
    """The targets of a trace, in the order in which the modules end."""
    roles: dict[str, list[str]] = {}
    for role, paths in {
        "stage_end": stage_ends(traced),
        "block_end": [call.path for call in blocks(traced)],
        "residual_branch": residual_branch_ends(traced),
        "attention": attention_layers(traced),
    }.items():
        for path in dict.fromkeys(paths):
            roles.setdefault(path, []).append(role)
    found = []
    for call in traced.order:
        calls = traced.calls[call.path]
        feature = call.output
        if call.parent is None or call is not calls[0] or feature is None or not feature.layout:
            continue
        assert feature.channels is not None
        found.append(
            Target(
                path=call.path,
                cls=type(call.module).__name__,
                channels=feature.channels,
                stride=_stride(traced, feature),
                size=feature.size,
                layout=feature.layout,
                roles=tuple(roles.get(call.path, ())),
                calls=len(calls),
                grid=feature.size if feature.layout == "tokens" else None,
                prefix_tokens=feature.prefix_tokens,
            )
        )
    return found


def _stride(traced: Trace, feature: Feature) -> int | None:
    if traced.image is None or feature.size is None:
        return None
    return max(1, round(traced.image[0] / feature.size[0]))
