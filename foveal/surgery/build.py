"""Building a mechanism for one place, in the adapter that the host's layout asks for."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.layout import OnChannelsLast, OnClips, OnFrames, OnMap, OnTokens
from foveal.core.registry import attention_info, create_attention, list_attentions
from foveal.core.signature import layout_of, need
from foveal.surgery.feature import Feature
from foveal.surgery.place import Spot


def build(
    attention: str | Callable[..., nn.Module], spot: Spot, options: Mapping[str, Any]
) -> nn.Module:
    """Build a mechanism, adapt it, and run it once on random values of the shape it will meet.

    Raises:
        FovealError: if the mechanism is no drop-in, refuses its channels or options, or does not
            return finite values of the shape it was given; the message begins with the place.
    """
    channels = spot.feature.channels
    assert channels is not None
    place = f"{spot.path} ({channels} channels)"
    if isinstance(attention, str):
        _require_drop_in(attention, attention_info(attention).cls)  # no fault of the place
    elif not callable(attention):
        raise FovealError(
            f"attention={attention!r} must be a registered name or a callable that takes the "
            "channels and returns a module"
        )
    try:
        if isinstance(attention, str):
            mechanism = create_attention(attention, channels, **options)
        else:
            mechanism = attention(channels, **options)
    except Exception as error:
        raise FovealError(f"{place}: {error}") from error
    if not isinstance(mechanism, nn.Module):
        raise FovealError(f"{place}: {attention!r} returned {mechanism!r} and not a module")
    _require_drop_in(type(mechanism).__name__, type(mechanism))
    _check_size(mechanism, spot, place)
    adapted = _adapt(mechanism, spot, place)
    _try_out(adapted, spot, place)
    return adapted


@torch.no_grad()
def is_born_identity(adapted: nn.Module, feature: Feature) -> bool:
    """Whether a mechanism returns its input as it is until it has learned, as one does whose last
    layer or whose own gain is born 0.

    >>> from foveal.surgery.feature import Feature
    >>> feature = Feature((1, 8, 4, 4), torch.float32, torch.device("cpu"), "map", 8, (4, 4), 0)
    >>> [is_born_identity(create_attention(name, 8), feature) for name in ("gc", "se")]
    [True, False]
    """
    x = torch.randn(feature.shape, generator=torch.Generator().manual_seed(0))
    was = adapted.training
    adapted.eval()
    y = adapted(x)
    adapted.train(was)
    return torch.equal(y, x)


def attention_spec(attention: Any) -> str | None:
    """How a plan names a mechanism: its registered name, or `py:module:Class` for a class that can
    be imported; None for anything else.

    >>> attention_spec(type(create_attention("eca", 8)))
    'eca'
    >>> attention_spec(nn.Identity), attention_spec(lambda channels: nn.Identity())
    ('py:torch.nn.modules.linear:Identity', None)
    """
    if isinstance(attention, str):
        return attention
    for name in list_attentions():
        if attention_info(name).cls is attention:
            return name
    if isinstance(attention, type):
        spec = f"py:{attention.__module__}:{attention.__qualname__}"
        if imported_class(spec) is attention:
            return spec
    return None


def imported_class(spec: str) -> type[nn.Module] | None:
    """The module class that `py:module:Class` names, if its Python module is imported already.

    A file that was sent by a stranger thus imports nothing and calls nothing but module classes.
    """
    module, _, name = spec.removeprefix("py:").partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def _require_drop_in(name: str, cls: type[nn.Module]) -> None:
    """Refuse what needs more than one tensor, or makes something else of it."""
    try:
        reason = need(cls)
    except TypeError:  # a module of the user's own without the annotation
        return
    if reason:
        raise FovealError(f"{name} cannot be inserted: it {reason}")


def _adapt(mechanism: nn.Module, spot: Spot, place: str) -> nn.Module:
    """Let the mechanism speak the layout of the place."""
    try:
        speaks = layout_of(type(mechanism))
    except TypeError:  # a module of the user's own without the annotation
        speaks = "map"
    feature = spot.feature
    match speaks, feature.layout:
        case ("map", "map") | ("tokens", "tokens"):
            return mechanism
        case "map", "channels_last":
            return OnChannelsLast(mechanism)
        case "tokens", "channels_last":
            return OnChannelsLast(OnMap(mechanism))
        case "video", "clip":
            return OnClips(mechanism)
        case "map", "clip":
            return OnClips(OnFrames(mechanism))
        case "tokens", "clip":
            return OnClips(OnFrames(OnMap(mechanism)))
        case "video", _:
            raise FovealError(
                f"{place}: the mechanism takes a video, and here is a {feature.layout} of shape "
                f"{feature.shape}, in which time cannot be told; choose a mechanism over maps"
            )
        case "tokens", _:
            return OnMap(mechanism)
    if feature.size is None:
        raise FovealError(
            f"{place}: the mechanism takes maps, and the grid of the {feature.shape[1]} tokens is "
            "not known here (they may be the tokens of a window); choose a whole block, or a "
            "mechanism over tokens"
        )
    return OnTokens(mechanism, grid=feature.size, prefix_tokens=feature.prefix_tokens)


def _check_size(mechanism: nn.Module, spot: Spot, place: str) -> None:
    """Refuse a place whose map is smaller than the pyramid that is to be made of it."""
    for part in mechanism.modules():
        if spot.feature.size is not None and hasattr(part, "check_size"):
            try:
                part.check_size(*spot.feature.size)  # pyright: ignore[reportCallIssue]
            except FovealError as error:
                raise FovealError(f"{place}: {error}") from error


def _try_out(adapted: nn.Module, spot: Spot, place: str) -> None:
    feature = spot.feature
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(feature.shape, generator=generator)
    was = adapted.training
    adapted.eval()
    try:
        with torch.no_grad():
            y = adapted(x)
    except Exception as error:
        raise FovealError(f"{place}: on a {feature.layout} {feature.shape}: {error}") from error
    finally:
        adapted.train(was)
    if not isinstance(y, Tensor) or y.shape != x.shape:
        made = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise FovealError(f"{place}: the mechanism made {made} of {feature.shape}; it must keep it")
    if not y.isfinite().all():
        raise FovealError(f"{place}: the mechanism returns values that are not finite")
