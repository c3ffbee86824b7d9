"""Putting attention across levels into the necks of detectors and segmenters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.mix.feedback import WEIGHTINGS
from foveal.mix.levels import Levels
from foveal.surgery.build import attention_spec, build
from foveal.surgery.example import keep_random_state
from foveal.surgery.feature import Feature
from foveal.surgery.hook import Inserted
from foveal.surgery.hosts.adapter import adapted
from foveal.surgery.insert import Factory, Init, Insertion, put_in, report
from foveal.surgery.maps import change_maps, maps_seen
from foveal.surgery.place import Spot, UnfitError, holder_of
from foveal.surgery.trace import Trace, trace
from foveal.surgery.where import Where, choose

POSITIONS = ("after", "before")


class InsertedLevels(Inserted):
    """Attention across levels in its place: y_l + s_l·(m_l − y_l) for each map of a pyramid.

    Args:
        levels: over the maps, the finest first.
        strength: every s at birth; None for m alone.
        entry: the plan of this insertion; its `order` says which map comes when, finest first.
    """

    def __init__(self, levels: Levels, strength: float | None, entry: dict[str, Any]):
        super().__init__(levels, strength, entry)
        self.order = tuple(entry["order"])
        if strength is not None:
            self.strength = nn.Parameter(torch.full((len(self.order),), strength))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:  # pyright: ignore
        """The maps, in the order in which the host has them, after their exchange."""
        if len(maps) != len(self.order):
            raise FovealError(
                f"{self.entry['path']}: built for {len(self.order)} maps, got {len(maps)}"
            )
        changed = list(maps)
        for k, y in enumerate(self.attention([maps[i] for i in self.order])):
            x = maps[self.order[k]]
            if self.strength is not None:
                y = x + self.strength[k] * (y - x)
            changed[self.order[k]] = y.to(x.dtype)
        return changed

    def change_output(self, output: Any) -> Any:
        return self._changed(output)

    def change_call(
        self, args: tuple, kwargs: dict[str, Any], item: int = 0
    ) -> tuple[tuple, dict[str, Any]]:
        return self._changed((args, kwargs))

    def _changed(self, value: Any) -> Any:
        changed = change_maps(value, self)
        if changed is None:
            raise FovealError(f"{self.entry['path']} hands on no list of maps any more")
        return changed


def insert_levels(
    model: nn.Module,
    attention: str | Factory,
    *,
    where: Where,
    position: str = "after",
    init: Init = "identity",
    example_input: Any = None,
    options: Mapping[str, Any] | None = None,
    width: int | None = None,
    weighting: str = "dynamic",
) -> Insertion:
    """Let the maps of several sizes in a model's neck exchange what they hold, without changing at
    first what the model computes.

    What goes in is `foveal.mix.levels.Levels`, with a learned strength for each level, born 0. All
    that `insert` promises holds: bit-equal outputs at birth, old keys kept, checkpoints from before
    still load, `remove`, `enable`, `save_insertion` and `materialize` as ever.

    Args:
        model: any host; not yet compiled, scripted or wrapped for several processes.
        attention: what runs within each level, once the levels have spoken: a registered name, a
            mix in its notation, or a callable that takes the width and returns a module.
        where: a module that returns several maps, such as torchvision's `FeaturePyramidNetwork`, or
            with `position="before"` one that takes several, such as a detection head: as a list,
            a tuple or a mapping, in any order of sizes. `find_pyramids` shows which there are. In a
            YOLO it is `head.in`, all the maps on their way into the head.
        position: `after` or `before` the module.
        init: `identity` or `paper`, as for `insert`.
        example_input: as for `insert`.
        options: the mechanism's own options.
        width, weighting: as in `Levels`; a weighting by its word in the notation of mixes.

    Raises:
        FovealError: if `where` matches nothing that hands on several maps, if the maps are no
            pyramid, and as `insert`; nothing is changed then.

    >>> class Neck(nn.Module):
    ...     def forward(self, x):
    ...         return {"fine": x, "coarse": x[..., ::2, ::2]}
    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3), Neck())
    >>> done = insert_levels(host, "eca", where="1", example_input=torch.rand(1, 3, 10, 10))
    >>> done.places[0].layout, done.largest_change, done.heard
    ('maps', 0.0, True)
    """
    for name, value, words in (
        ("position", position, POSITIONS),
        ("init", init, get_args(Init)),
        ("weighting", weighting, _weightings()),
    ):
        if value not in words:
            hint = did_you_mean(str(value), words)
            raise FovealError(f"{name}={value!r} must be one of {', '.join(words)}{hint}")
    network, adapter = adapted(model)
    example = adapter.example(network) if example_input is None else example_input
    with adapter.undisturbed(network):
        traced = trace(network, example)
        where, position = adapter.levels(where, position, traced)
        found, skipped = _found(network, where, position, traced)
        with keep_random_state(network):
            inserted = []
            for place in found:
                adapter.check(network, place.spot, init)
                channels = [x.shape[1] for x in place.maps]
                entry = {
                    "path": place.spot.path,
                    "attention": attention_spec(attention),
                    "options": dict(options or {}),
                    "position": position,
                    "init": init,
                    "channels": channels,
                    "layout": "maps",
                    "grid": None,
                    "prefix_tokens": 0,
                    "simple": False,
                    "order": place.order,
                    "width": min(channels) if width is None else width,
                    "weighting": weighting,
                }
                inserted.append(_built(attention, place, entry))
        spots = [place.spot for place in found]
        change = put_in(network, spots, inserted, traced.example, silent=init == "identity")
    result = report(network, spots, inserted, change, skipped)
    adapter.inserted(model, result.plan)
    return result


def repeat_levels(
    model: nn.Module, attention: str | Factory, entry: dict[str, Any], traced: Trace
) -> tuple[Spot, InsertedLevels]:
    """The place of a saved insertion across levels in a host of the same kind, and what goes there.

    Raises:
        FovealError: if there are other maps there.
    """
    seen = maps_seen(model, traced.example)
    place = _place(entry["path"], entry["position"], traced, seen)
    there = [x.shape[1] for x in place.maps]
    if there != entry["channels"]:
        raise FovealError(
            f"{entry['path']} has maps of {there} channels, and the insertion was made for "
            f"{entry['channels']}"
        )
    return place.spot, _built(attention, place, dict(entry))


@dataclass(frozen=True)
class _Place:
    spot: Spot
    maps: list[Tensor]
    """As the host has them."""

    @property
    def order(self) -> list[int]:
        """Which map comes when, the finest first."""
        sizes = [x.shape[2] * x.shape[3] for x in self.maps]
        return sorted(range(len(sizes)), key=lambda i: -sizes[i])


def _found(
    model: nn.Module, where: Where, position: str, traced: Trace
) -> tuple[list[_Place], dict[str, str]]:
    chosen = choose(where, traced)
    seen = maps_seen(model, traced.example)
    found: list[_Place] = []
    skipped: dict[str, str] = {}
    for path in chosen.paths:
        try:
            found.append(_place(path, position, traced, seen))
        except UnfitError as error:
            if path in chosen.named:
                raise
            skipped[path] = str(error)
    if not found:
        raise FovealError(f"none of the places fits: {next(iter(skipped.values()))}")
    return found, skipped


def _place(
    path: str, position: str, traced: Trace, seen: dict[tuple[str, str], list[list[Tensor]]]
) -> _Place:
    calls = seen.get((path, position))
    if calls is None:
        others = [f"{position} {path or 'the whole'}" for path, position in seen]
        there = f"there are some {', '.join(others[:6])}" if others else "no module here does"
        does = "returns" if position == "after" else "takes"
        raise UnfitError(f"{path} {does} no several maps (B, C, H, W); {there}")
    maps = calls[0]
    for other in calls[1:]:
        if [x.shape[1] for x in other] != [x.shape[1] for x in maps]:
            raise UnfitError(
                f"{path} runs {len(calls)} times in one forward pass with other channels each time"
            )
    if len({(x.dtype, x.device) for x in maps}) > 1:
        raise UnfitError(f"{path}: the maps are of several types or on several devices")
    ran = traced.calls[path]
    module = ran[0].module
    spot = Spot(
        path=path,
        module=module,
        holder=holder_of(module, path),
        position=position,
        feature=_feature(maps[0], maps[0].shape[1]),
        outputs=None,
        simple=False,
        calls=len(ran),
    )
    return _Place(spot, maps)


def _built(attention: str | Factory, place: _Place, entry: dict[str, Any]) -> InsertedLevels:
    """The levels with a mechanism in each, tried out on random maps."""
    ordered = [place.maps[i] for i in entry["order"]]
    channels, width = [x.shape[1] for x in ordered], entry["width"]
    try:
        Levels(channels, nn.Identity, width=width).check(ordered)  # before a mechanism is built
    except FovealError as error:
        raise FovealError(f"{place.spot.path}: {error}") from error
    features = iter([_feature(x, width) for x in ordered])

    def within(width: int) -> nn.Module:
        inside = Spot(
            place.spot.path, place.spot.module, (), "after", next(features), None, True, 1
        )
        return build(attention, inside, entry["options"])

    levels = Levels(channels, within, width=width, weighting=WEIGHTINGS[entry["weighting"]])
    one = InsertedLevels(levels, 0.0 if entry["init"] == "identity" else None, entry)
    with torch.no_grad():
        was = one.training
        tried = one.eval()([torch.zeros(x.shape) for x in place.maps])
        one.train(was)
    if not all(y.isfinite().all() for y in tried):
        raise FovealError(f"{place.spot.path}: the mechanism returns values that are not finite")
    return one


def _feature(x: Tensor, channels: int) -> Feature:
    """A map of that size and so many channels."""
    shape = (x.shape[0], channels, *x.shape[2:])
    size = (x.shape[2], x.shape[3])
    return Feature(shape, x.dtype, x.device, "map", channels, size, 0)


def _weightings() -> tuple[str, ...]:
    """The weightings that need no numbers or kinds of their own."""
    return tuple(word for word in WEIGHTINGS if word not in ("fixed", "preset"))
