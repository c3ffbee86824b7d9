"""Faults in how the layers are wired: numbers that were not shifted, channels written out."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from foveal.core.errors import FovealError
from foveal.yolo.align import align
from foveal.yolo.family import Relative, relative_of, rows_of
from foveal.yolo.finding import Finding
from foveal.yolo.models import Layer, build_model


def shifted_indices(relative: Relative, layers: Sequence[Layer]) -> Iterator[Finding]:
    """Layers that read another layer than their counterpart in the shipped model does.

    An added layer may stand between: what is read is followed back through added layers.
    """
    theirs, pairs, ours = relative.layers, relative.pairs, layers
    counterpart = {ours_: theirs_ for theirs_, ours_ in pairs.items()}

    def origin(source: int) -> set[int]:
        """The shipped model's layers whose output a source hands on."""
        if source < 0:
            return {-1}
        if source in counterpart:
            return {counterpart[source]}
        return (
            set().union(*(origin(s) for s in ours[source].sources)) if source < len(ours) else set()
        )

    for layer in theirs:
        if layer.index not in pairs:
            continue
        here = ours[pairs[layer.index]]
        if len(here.sources) != len(layer.sources):
            continue
        for ours_, wanted in zip(here.sources, layer.sources, strict=True):
            if (wanted >= 0 and wanted not in pairs) or wanted in origin(ours_):
                continue
            meant = "the picture" if wanted < 0 else f"layer {pairs[wanted]}"
            kind = "" if wanted < 0 else f" ({theirs[wanted].kind})"
            read = "the picture" if ours_ < 0 else f"layer {ours_} ({ours[ours_].kind})"
            yield Finding(
                "shifted-index",
                f"layer {here.index} ({here.kind})",
                f"it reads {read}; as in {relative.name} it would read {meant}{kind}",
                "a layer put in raises the number of every layer behind it, and a `from` that was "
                "not raised with them still builds, as another network",
                f"write {pairs.get(wanted, -1)} in its `from`, if this was not meant",
            )


def relative_of_rows(content: dict[str, Any]) -> Relative | None:
    """The shipped model beside a YAML from which no model can be built."""
    rows = rows_of(content)
    relative = relative_of(rows, *scale_and_classes(content))
    if relative is None:
        return None
    plain = [Layer(x.index, x.kind, {}, x.sources) for x in relative.layers]
    return Relative(relative.name, relative.model, plain, align(plain, rows))


def unscaled_width(
    content: dict[str, Any], relative: Relative | None, failed: FovealError | None = None
) -> Iterator[Finding]:
    """Channels that fit some scales alone: the YAML builds at one and not at another.

    Args:
        content: of the YAML.
        relative: the shipped model that it was made from.
        failed: why it does not build at its own scale, if it does not.
    """
    scales = list(content.get("scales") or {})
    if len(scales) < 2:
        return
    own = content.get("scale") if content.get("scale") in scales else scales[0]
    at = scales.index(own)
    neighbour = scales[at + 1 if at + 1 < len(scales) else at - 1]
    for other in [neighbour] if failed is None else [s for s in scales if s != own]:
        error = _error_at(content, other)
        if (error is None) == (failed is None):
            continue
        good, bad = (own, other) if failed is None else (other, own)
        yield Finding(
            "unscaled-width",
            ", ".join(_written_out(content, relative)) or "the YAML",
            f"it builds at scale {good} and not at {bad}: {error or failed}",
            "channels of a module that ultralytics does not know are taken as written and not "
            "multiplied by the width of the scale",
            "name the mechanism without channels after foveal.yolo.register(), or insert it with "
            "foveal.insert",
        )
        return


def _error_at(content: dict[str, Any], scale: str) -> FovealError | None:
    try:
        build_model(deepcopy(content) | {"scale": scale})
    except FovealError as error:
        return error
    return None


def _written_out(content: dict[str, Any], relative: Relative | None) -> list[str]:
    """The added rows with a number in them that may be one of channels."""
    rows = [*content["backbone"], *content["head"]]
    added = [] if relative is None else relative.added(rows_of(content))
    return [
        f"layer {x.index} ({x.kind} {rows[x.index][3]})"
        for x in added
        if any(type(argument) is int and argument > 3 for argument in rows[x.index][3])
    ]


def not_built(content: dict[str, Any], error: FovealError) -> Finding:
    """A YAML that makes no model at all."""
    return Finding(
        "not-built",
        str(content.get("yaml_file") or "the YAML"),
        str(error),
        "nothing can be trained from it",
        "mend the layer named; `foveal list` names Foveal's mechanisms",
    )


def scale_and_classes(content: dict[str, Any]) -> tuple[str, int | None]:
    """The scale that a YAML is built at, and its classes."""
    scales = list(content.get("scales") or {})
    scale = str(content.get("scale") or "")
    return (scale if scale or not scales else scales[0]), content.get("nc")
