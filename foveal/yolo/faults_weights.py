"""Faults in what a checkpoint holds: attention untrained or gone, weights in the wrong layer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.registry import list_attentions
from foveal.surgery.fasten import fastened
from foveal.surgery.hook import Inserted
from foveal.surgery.materialize import Wrapped
from foveal.surgery.remove import inserted_modules
from foveal.yolo.family import Relative
from foveal.yolo.finding import Finding
from foveal.yolo.kept_yaml import SETTINGS
from foveal.yolo.models import Layer, layers_of
from foveal.yolo.weights import correspondence

HALF = 2**-10
"""Rounding of a checkpoint in half precision, relative."""


def untrained_attention(
    model: nn.Module, fresh: nn.Module | None, added: Sequence[Layer]
) -> Iterator[Finding]:
    """Attention whose parameters lie as they were born, put in by Foveal or by a YAML.

    Args:
        model: the model.
        fresh: one built from the same YAML, whose added layers are newly born.
        added: the layers that the shipped model does not have.
    """
    why = "what never moved is noise in the network, or does nothing; it was not trained"
    remedy = "train it; with weights of before, by foveal yolo train or foveal transfer"
    for path, one in inserted_modules(model).items():
        if _born(one):
            what = f"{one.entry['attention']}: no parameter shows a movement"
            yield Finding("untrained-attention", path, what, why, remedy)
    if fresh is None:
        return
    ours, newborn = _layers(model), _layers(fresh)
    for layer in added:
        if not layer.tensors or layer.index >= len(newborn):
            continue
        here, there = ours[layer.index], newborn[layer.index]
        if not any(True for _ in here.parameters()) or not _same_shapes(here, there):
            continue
        if unmoved(here.state_dict(), there.state_dict()):
            where = f"layer {layer.index} ({layer.kind})"
            what = f"none of its {len(layer.tensors)} tensors shows a movement"
            yield Finding("untrained-attention", where, what, why, remedy)


def unmoved(ours: Mapping[str, Tensor], newborn: Mapping[str, Tensor]) -> bool:
    """Whether tensors look as a fresh module's do.

    What is born constant (a batch norm's scale, a bias, a gate of 0) must be that constant still.
    What is born at random must lie within the bounds of its birth: PyTorch draws the weights of
    convolutions and linear layers evenly between ± 1 / √fan-in, and of some thousand values that
    learn, several leave. A small tensor of random values alone therefore proves nothing.

    >>> unmoved({"weight": torch.ones(3)}, {"weight": torch.ones(3)})
    True
    >>> unmoved({"weight": torch.tensor([1.0, 1.01, 1.0])}, {"weight": torch.ones(3)})
    False
    """
    for name, born in newborn.items():
        value = ours[name].float()
        born = born.float()
        if name.endswith("num_batches_tracked"):
            if int(value) > 0:
                return False
        elif not born.is_floating_point() or born.numel() == 0:
            continue
        elif float(born.max() - born.min()) == 0:
            if not torch.allclose(value, born, rtol=HALF, atol=1e-8):
                return False
        elif float(value.abs().max()) > _bound(name, newborn) * (1 + HALF):
            return False
    return True


def dropped_insertions(
    model: nn.Module, arguments: Mapping[str, Any], layers: Sequence[Layer]
) -> Iterator[Finding]:
    """Attention that something says is there and is not."""
    why = "the model computes without it, and whoever reads its name or its plan is told otherwise"
    remedy = "insert it again and train by foveal yolo train, which keeps it"
    here = inserted_modules(model)
    plan = ((getattr(model, "yaml", None) or {}).get(SETTINGS) or {}).get("plan") or {}
    for place in plan.get("places", []):
        if place["module"] not in here:
            what = f"the plan of insertions names {place['attention']} here, and there is no such"
            yield Finding("dropped-insertion", place["path"], what, why, remedy)
    applied = {id(hook.inserted(module)) for _, module, hook in fastened(model)}
    for module in model.modules():
        if isinstance(module, Wrapped):
            applied |= {id(child) for child in module.modules()}
    for path, one in here.items():
        if id(one) not in applied:
            what = f"{one.entry['attention']} lies here, and no hook runs it"
            yield Finding("dropped-insertion", path, what, why, remedy)
        elif not one.enabled:
            what = f"{one.entry['attention']} is switched off"
            yield Finding("dropped-insertion", path, what, why, "foveal.enable(model, True)")
    if not here and not plan:
        yield from _named_and_absent(arguments, layers, why, remedy)


def wrong_layers(
    model: nn.Module, origin: nn.Module, name: str, fresh: nn.Module | None
) -> Iterator[Finding]:
    """Tensors that a loading by names put, or would put, into a layer they do not belong to.

    Args:
        model: the model looked at.
        origin: the one whose weights it is said to have begun with.
        name: of that one.
        fresh: a newborn of the model; then only what lies nearer to the origin's namesake than to
            birth counts. None where the model has not been loaded yet.
    """
    found = correspondence(origin, model)
    wrong = list(found.wrong)
    if fresh is not None:
        ours, theirs, born = model.state_dict(), origin.state_dict(), fresh.state_dict()
        wrong = [key for key in wrong if _nearer(ours[key], theirs[key], born[key])]
    layers: dict[str, int] = {}
    for key in wrong:
        layer = ".".join(key.split(".")[:2])
        layers[layer] = layers.get(layer, 0) + 1
    verb = "lie" if fresh is not None else "would be put"
    for layer, count in layers.items():
        yield Finding(
            "wrong-layer",
            layer,
            f"{count} of its tensors {verb} here by their names from {name}, where those names "
            "belong to another layer",
            f"by names {found.by_name} of {found.old_tensors} tensors load, of "
            f"{found.moved} that have a place",
            f"foveal transfer {name} to this YAML, and train from what it writes",
        )


def expected_wrong(
    model: nn.Module, relative: Relative, arguments: Mapping[str, Any]
) -> Iterator[Finding]:
    """The same where the origin is not at hand, and was of the family by its name."""
    origin = arguments.get("pretrained")
    if not isinstance(origin, str) or not relative.added(layers_of(model)):
        return
    for one in wrong_layers(model, relative.model, Path(origin).name, None):
        what = one.what.replace("would be put", "were put")
        yield Finding(
            one.fault, one.where, f"{what} (by its training arguments)", one.why, one.remedy
        )


def _named_and_absent(
    arguments: Mapping[str, Any], layers: Sequence[Layer], why: str, remedy: str
) -> Iterator[Finding]:
    """Mechanisms in the name of the YAML that the training arguments give."""
    named = Path(str(arguments.get("model") or "")).stem.lower()
    words = set(re.split(r"[^a-z0-9]+", named))
    kinds = {layer.kind.lower() for layer in layers}
    for mechanism in sorted(words & {name.lower() for name in list_attentions()}):
        if not any(mechanism in kind for kind in kinds):
            what = f"its training arguments name {arguments['model']}, and no layer is {mechanism}"
            yield Finding("dropped-insertion", "the model", what, why, remedy)


def _born(one: Inserted) -> bool:
    if one.strength is not None:
        strengths = one.strength.detach()  # one, or one for each level
        if not strengths.any():
            return True  # a step would have moved it by something, however little
        if (strengths - 1).abs().max() > HALF:
            return False
    newborn = _newborn(one.mechanism)
    ours = one.mechanism.state_dict()
    return bool(ours) and newborn is not None and unmoved(ours, newborn.state_dict())


def _newborn(mechanism: nn.Module) -> nn.Module | None:
    """A copy in which every layer is drawn again; None where one cannot be."""
    copy = deepcopy(mechanism)
    with torch.random.fork_rng():
        for module in copy.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                return None
    return copy


def _bound(name: str, newborn: Mapping[str, Tensor]) -> float:
    """How far from 0 a parameter may lie at birth."""
    born = newborn[name]
    weight = newborn.get(f"{name.removesuffix('bias')}weight", born)
    drawn = float(born.abs().max())
    if weight.ndim < 2:
        return drawn
    even = weight[0].numel() ** -0.5
    return even if drawn <= even * (1 + HALF) else drawn * 1.5


def _nearer(value: Tensor, namesake: Tensor, born: Tensor) -> bool:
    if value.ndim == 0:
        return False  # a count of batches
    distance = (value.float() - namesake.float()).norm()
    return bool(distance < 0.5 * (value.float() - born.float()).norm())


def _same_shapes(here: nn.Module, there: nn.Module) -> bool:
    ours, theirs = here.state_dict(), there.state_dict()
    return {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def _layers(model: nn.Module) -> list[nn.Module]:
    return list(model.model)  # pyright: ignore
