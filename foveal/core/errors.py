"""What a user is told when something is wrong: the value, the rule it broke, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType


class FovealError(ValueError):
    """A mistake the user can mend; the message is complete, so commands print it alone."""


class MissingExtraError(FovealError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library, or say which extra installs it.

    Args:
        module: what to import, such as `"scipy.stats"`.
        extra: the extra of Foveal that lists it, such as `"study"`.

    Raises:
        MissingExtraError: if the library is not installed.

    >>> require("math", "study").pi > 3
    True
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise  # the library is there, and something that it needs is not
        raise MissingExtraError(
            f"{error.name} is not installed; it comes with: pip install 'foveal[{extra}]'"
        ) from error


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: with the near names, if there are any.

    >>> "no attention 'ecaa'" + did_you_mean("ecaa", ["eca", "mhsa"])
    "no attention 'ecaa'; did you mean eca?"
    >>> "no attention 'zebra'" + did_you_mean("zebra", ["eca", "mhsa"])
    "no attention 'zebra'."
    """
    lowered = {choice.lower(): choice for choice in choices}
    near = [lowered[key] for key in get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    return f"; did you mean {' or '.join(near)}?" if near else "."
