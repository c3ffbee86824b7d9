"""The registry: mechanisms by name, and third parties' beside ours.

@register_attention("eca", paper="Wang et al., ECA-Net, CVPR 2020", arxiv="1910.03151")
class ECA(nn.Module): ...

create_attention("eca", channels=256, kernel_size=5)
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import wraps
from importlib.metadata import entry_points
from typing import Any, TypeVar, get_args

from torch import Tensor, nn

from foveal.core.card import Card
from foveal.core.errors import FovealError, did_you_mean
from foveal.core.names import AMBIGUOUS
from foveal.core.signature import Layout, check_inputs, in_words, inputs_of, layout_of

ENTRY_POINT_GROUP = "foveal.attention"

_cards: dict[str, Card] = {}
_plugins_loaded = False

_SIGNS = "|>()"
"""What no name has, and every notation but that of a single mechanism."""
_read_notation: Callable[[str], Card] | None = None

ModuleClass = TypeVar("ModuleClass", bound=type[nn.Module])


def register_attention(
    name: str,
    *,
    paper: str,
    arxiv: str | None = None,
    family: str | None = None,
    limits: Mapping[str, str] | None = None,
) -> Callable[[ModuleClass], ModuleClass]:
    """Register the class below under a name.

        @register_attention("eca", paper="Wang et al., ECA-Net, CVPR 2020", arxiv="1910.03151")
        class ECA(nn.Module): ...

    The class stays an ordinary `nn.Module`; its `forward` now says clearly what is wrong with an
    input of the wrong rank, type or number of channels.

    Args:
        name: lower-case letters, digits and underscores; unique, and not an acronym with several
            meanings.
        paper: authors, title or acronym, venue and year.
        arxiv: identifier such as `"1910.03151"`.
        family: what one weight belongs to. Default: the name of the folder the file lies in,
            for a file in `foveal/attention/`.
        limits: laws of the conformance kit that the mechanism cannot keep, each with the reason.

    Raises:
        ValueError: if the name is taken, ambiguous or of another form, or the family is missing.
        TypeError: if `forward` does not say what it takes: its first input must be annotated as
            `Map`, `Tokens` or `Video`, further ones that it cannot do without as one of the types
            in `foveal.core.types`.
    """

    def register(cls: ModuleClass) -> ModuleClass:
        if name in AMBIGUOUS:
            raise FovealError(f"cannot register {name!r}: {_meanings(name)}")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise FovealError(
                f"cannot register {name!r}: a name must be lower-case letters, digits and "
                "underscores, and begin with a letter"
            )
        taken = _cards.get(name)
        if taken and (taken.cls.__module__, taken.cls.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            where = f"{taken.cls.__module__}.{taken.cls.__qualname__}"
            raise FovealError(f"cannot register {name!r}: {where} has that name already")
        parts = cls.__module__.split(".")
        folder = parts[2] if parts[:2] == ["foveal", "attention"] and len(parts) > 3 else None
        if family is None and folder is None:
            raise FovealError(f"cannot register {name!r}: give family=, such as family='channel'")
        _cards[name] = Card(
            name=name,
            cls=cls,
            paper=paper,
            arxiv=arxiv,
            family=family or folder or "",
            layout=layout_of(cls),
            limits=dict(limits or {}),
        )
        _guard(cls, name)
        return cls

    return register


def create_attention(name: str, channels: int, **options: Any) -> nn.Module:
    """Build a mechanism by name.

    Args:
        name: one of `list_attentions()`, or a mix of them such as `"eca > coord"`.
        channels: channels C of the feature map or the tokens.
        options: the mechanism's own options; those left out take the paper's defaults.

    Raises:
        FovealError: for an unknown or ambiguous name, an unknown option, or a channel count that
            is not a positive whole number. Errors about a value come from the mechanism.

    >>> create_attention("eca", channels=256, kernel_size=5)(torch.rand(1, 256, 7, 7)).shape
    torch.Size([1, 256, 7, 7])
    >>> create_attention("se | sa_spatial > coord", channels=256).notation
    'se | sa_spatial > coord'
    """
    card = attention_info(name)
    check_channels(name, channels)
    card.check_options(options)
    return card.build(channels, **options)


def check_channels(name: str, channels: Any) -> None:
    """Refuse a channel count that is not a positive whole number."""
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise FovealError(f"{name}: channels={channels!r} must be a positive whole number")


def list_attentions(
    pattern: str = "*",
    *,
    family: str | None = None,
    layout: Layout | None = None,
    drop_in: bool | None = None,
) -> list[str]:
    """The names of the registered mechanisms, in alphabetical order.

    Args:
        pattern: shell wildcard on the name, such as `"*cbam*"`.
        family: only this family, such as `"channel"`.
        layout: only mechanisms whose first input is a `"map"`, `"tokens"` or a `"video"`.
        drop_in: True for those alone that take one input and return its shape, so that they can
            stand anywhere; False for the others, which need a second input or are heads.

    Raises:
        FovealError: if there is no such family or layout.

    >>> list_attentions("*cbam*")
    ['cbam']
    """
    _load_plugins()
    families = sorted({card.family for card in _cards.values()})
    if family is not None and family not in families:
        raise FovealError(
            f"there is no family {family!r}{did_you_mean(family, families)} "
            f"Families: {', '.join(families)}"
        )
    if layout not in (None, *get_args(Layout)):
        known = " or ".join(map(repr, get_args(Layout)))
        raise FovealError(f"layout={layout!r} must be {known}")
    return sorted(
        name
        for name, card in _cards.items()
        if fnmatchcase(name, pattern)
        and family in (None, card.family)
        and layout in (None, card.layout)
        and drop_in in (None, card.drop_in)
    )


def attention_info(name: str) -> Card:
    """The card of a mechanism, or of a mix of mechanisms.

    Raises:
        FovealError: if the name is unknown (near names are suggested) or ambiguous (its meanings
            are listed), or a notation cannot be read; the message then points at the place.

    >>> attention_info("eca").paper
    'Wang et al., ECA-Net, CVPR 2020'
    """
    _load_plugins()
    if name in _cards:
        return _cards[name]
    if not isinstance(name, str):
        raise FovealError(f"{name!r} is not the name of an attention; `foveal list` shows them")
    if _read_notation is not None and any(sign in name for sign in _SIGNS):
        return _read_notation(name)
    if name.lower() in AMBIGUOUS:
        raise FovealError(_meanings(name.lower()))
    raise FovealError(
        f"there is no attention {name!r}{did_you_mean(name, _cards)} "
        "`foveal list` shows all that there are"
    )


def register_notation(read: Callable[[str], Card]) -> None:
    """Let a text that is no name be taken wherever a name is.

    Args:
        read: makes a card of a text with one of the signs | > ( ), or raises a FovealError.
    """
    global _read_notation
    _read_notation = read


def _meanings(name: str) -> str:
    choices = "; ".join(
        f"{key} ({meaning}{'' if key in _cards else ', not in this version'})"
        for key, meaning in AMBIGUOUS[name].items()
    )
    return f"{name!r} means several mechanisms; say which: {choices}"


def _load_plugins() -> None:
    """Import what installed packages offer under the entry point group, once."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except Exception as error:  # a stranger's fault must not take our own mechanisms away
            warnings.warn(
                f"the plug-in {entry.name} ({entry.value}) could not be loaded: "
                f"{type(error).__name__}: {error}",
                stacklevel=3,
            )


def _guard(cls: type[nn.Module], name: str) -> None:
    """Let the constructor refuse wrong channels and `forward` wrong inputs, by name."""
    build, forward, inputs = cls.__init__, cls.forward, inputs_of(cls)
    words, signature = in_words(inputs), inspect.signature(build)

    @wraps(build)
    def checked_init(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        channels = list(bound.arguments.values())[1] if len(bound.arguments) > 1 else None
        check_channels(name, channels)
        build(self, *args, **kwargs)
        self.channels = channels  # pyright: ignore[reportArgumentType]

    @wraps(forward)
    def checked_forward(self: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        check_inputs(name, self, inputs, words, args, kwargs)
        return forward(self, *args, **kwargs)

    cls.__init__ = checked_init
    cls.forward = checked_forward
