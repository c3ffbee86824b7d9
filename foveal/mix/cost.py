"""The cost of a mix: the sum of what its parts state."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from torch import nn

from foveal.core.card import Card
from foveal.core.cost import evaluate_cost, stated_cost
from foveal.core.errors import FovealError
from foveal.core.layout import OnFrames, OnMap, OnTime, OnVolume
from foveal.core.registry import attention_info, list_attentions
from foveal.mix.arrange import Branches, Chain, Hierarchy, Recursion, Residual
from foveal.mix.coarse_to_fine import CoarseToFine
from foveal.mix.cost_in_scale import coarse_to_fine_cost, scales_cost
from foveal.mix.gates import MORE_FOR_THE_MAP
from foveal.mix.join import Select
from foveal.mix.mixture import Mix
from foveal.mix.scales import Scales
from foveal.mix.weigh import Dynamic

Cost = tuple[float, float]
"""Parameters, and multiply-adds of one image or one video."""


def cost_of(module: nn.Module, channels: int, height: int, width: int, frames: int = 1) -> Cost:
    """Parameters and multiply-adds of a built part of a mix by what its parts state.

    Raises:
        FovealError: if a part states no cost.
    """

    def of(*parts: nn.Module) -> Cost:
        return _sum(*(cost_of(part, channels, height, width, frames) for part in parts))

    def sized(part: nn.Module, h: int, w: int) -> Cost:
        return cost_of(part, channels, h, w)

    match module:
        case Mix():
            return of(module.body)
        case Chain():
            return of(*module.parts)
        case Residual():
            return _sum(of(module.part), (0, frames * channels * height * width))
        case Recursion():
            parameters, multiply_adds = of(module.part)
            return parameters, module.times * multiply_adds
        case Branches():
            return _branches_cost(module, of, frames * channels * height * width)
        case Hierarchy():
            own = _stated(module, channels, height * frames, width)
            return _sum(of(*module.levels, module.weighting), own)
        case Scales() | CoarseToFine():
            cost = scales_cost if isinstance(module, Scales) else coarse_to_fine_cost
            return cost(module, sized, channels, height, width)  # pyright: ignore
        case OnMap():
            return of(module.mechanism)
        case OnFrames():
            parameters, multiply_adds = cost_of(module.mechanism, channels, height, width)
            return parameters, frames * multiply_adds
        case OnTime():
            parameters, multiply_adds = cost_of(module.mechanism, channels, frames, 1)
            return parameters, height * width * multiply_adds
        case OnVolume():
            return cost_of(module.mechanism, channels, frames * height, width)
        case Select():
            return _sum(of(module.selection), _stated(module, channels, height * frames, width))
    card = _cards().get(type(module))
    if card is None:
        return _stated(module, channels, height * frames, width)
    stated = card.cost(module, channels, height, width, T=frames)
    return stated["parameters"], stated["multiply_adds"]


def _branches_cost(module: Branches, of: Callable[..., Cost], values: int) -> Cost:
    """Of parts side by side, on a map of so many values."""
    weighting = module.weighting
    if module.gates_add_up:
        maps = [_inner(branch).attention_map for branch in module.branches]
        kinds = [_by_channel(read) for read in maps]  # pyright: ignore[reportArgumentType]
        products = len(set(kinds)) - len(kinds)  # one for the map, and none for each gate
        if isinstance(weighting, Dynamic) and weighting.at_positions and any(kinds):
            products += 2 * sum(kinds) - 1  # gates of channels are spread out by their weights
        sharing = sum(getattr(branch, "weighs_means", False) for branch in module.branches)
        products -= max(0, sharing - 1)
        return _sum(of(*module.branches, *_present(weighting)), (0, products * values))
    own = of(*module.branches, *_present(module.joiner, weighting))
    return _sum(own, (0, _for_maps(module) * values))


def _for_maps(module: Branches) -> int:
    """Products for each value that gates and scores need beyond `forward` of their mechanisms."""
    inner = [_inner(branch) for branch in module.branches]
    if module.joiner.takes == "gates":
        return sum(MORE_FOR_THE_MAP.get(_cards()[type(branch)].name, 0) for branch in inner)
    if module.joiner.takes == "scores":
        return sum(_spared(branch) for branch in inner)
    return 0


def _spared(branch: nn.Module) -> int:
    """What is not done for a branch that gives its scores: its own product with the input and, for
    a score for each channel, the joiner's product at every position."""
    scores = getattr(type(branch), "scores", None)
    if scores is None:
        return 0
    return -1 - _by_channel(scores)


def _by_channel(read: Callable[..., Any]) -> bool:
    """Whether a method gives one number for each channel."""
    return "'b c 1 1'" in str(inspect.signature(read).return_annotation)


def _inner(branch: nn.Module) -> nn.Module:
    return branch.mechanism if isinstance(branch, OnFrames) else branch


def _present(*modules: nn.Module | None) -> list[nn.Module]:
    return [module for module in modules if module is not None]


def _sum(*costs: Cost) -> Cost:
    return sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)


def _stated(module: nn.Module, channels: int, height: int, width: int) -> Cost:
    """By the formulas in the docstring of the class."""
    doc = type(module).__doc__ or ""
    formulas = [stated_cost(doc, what) for what in ("Parameters", "Multiply-adds")]
    if None in formulas:
        raise FovealError(f"{type(module).__name__} states no cost")
    parameters, multiply_adds = (
        evaluate_cost(formula, module, channels, height, width) for formula in formulas if formula
    )
    return parameters, multiply_adds


@lru_cache(maxsize=1)
def _known(names: tuple[str, ...]) -> dict[type, Card]:
    return {attention_info(name).cls: attention_info(name) for name in names}


def _cards() -> dict[type, Card]:
    return _known(tuple(list_attentions()))
