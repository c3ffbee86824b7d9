"""What a mix needs while a study trains it."""

from typing import Any

from torch import nn

from foveal.core.errors import FovealError
from foveal.mix.feedback import Feedback
from foveal.mix.mixture import Mix
from foveal.mix.weigh import Weighting
from foveal.study.records import BranchWeights, Variant
from foveal.surgery.remove import inserted_modules
from foveal.train.data import ImageData


def check_mix(variant: Variant, model: nn.Module, data: ImageData) -> None:
    """Refuse what a variant's weightings cannot do.

    Raises:
        FovealError: if there is no temperature to anneal, or nothing to judge weights by.
    """
    if variant.role != "attention":
        return
    if variant.anneal and not _has(model, Weighting):
        raise FovealError(
            f"anneal changes the temperature of weightings, and {variant.attention} has none; "
            "leave it out, or weigh branches, such as by weights=learned"
        )
    if _has(model, Feedback) and data.feedback is None:
        raise FovealError(
            f"the weights of {variant.attention} are judged on pictures that neither train nor "
            "test, and there are none; keep some with feedback_share under data, such as 0.1"
        )


class Beside:
    """What runs beside the training of a variant, and notes the weights of its mixes.

    Gates that never learn hear no feedback, and their weights tell nothing.
    """

    def __init__(self, variant: Variant, model: nn.Module, data: ImageData):
        from foveal.train.watch import WatchWeights

        asked = variant.role == "attention"
        self.watch = WatchWeights(mixes_in(model) if asked else {}, len(data.classes))
        self.callbacks = [self.watch, *_moving(variant, model, data)]

    def weights(self) -> list[BranchWeights]:
        return [BranchWeights(**record) for record in self.watch.records()]


def mixes_in(model: nn.Module) -> dict[str, Mix]:
    """The inserted mixes by their place in the host; a second one at a place has a number."""
    found: dict[str, Mix] = {}
    for one in inserted_modules(model).values():
        if isinstance(one.mechanism, Mix):
            place, times = one.entry["path"], 1
            while place in found:
                times += 1
                place = f"{one.entry['path']} ({times})"
            found[place] = one.mechanism
    return found


def _moving(variant: Variant, model: nn.Module, data: ImageData) -> list[Any]:
    from foveal.train.anneal import Anneal
    from foveal.train.feedback import GiveFeedback, confidence_on

    wanted: list[Any] = []
    if variant.anneal and variant.role != "matched":
        wanted.append(Anneal(**variant.anneal))
    if variant.role == "attention" and _has(model, Feedback):
        wanted.append(GiveFeedback(confidence_on(data.feedback)))
    return wanted


def _has(model: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(module, kind) for module in model.modules())
