"""What a law of the conformance kit is, and how one says that it was broken."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from foveal.core.signature import Layout
from foveal.testing.subject import Subject


class BrokenLawError(AssertionError):
    """A law was broken; the message says by what, and by how much."""


class NotCheckedError(Exception):
    """A law could not be checked; the message says why. It counts neither for nor against."""


Kind = Literal["drop_in", "several"]


@dataclass(frozen=True)
class Law:
    """A law: what it catches, and the function that raises where it is broken."""

    name: str
    catches: str
    check: Callable[[Subject], None] = field(repr=False)
    layout: Layout | None = None
    """The only layout that the law is about; None for all."""
    kind: Kind | None = None
    """The only mechanisms that it is about: those that stand anywhere, or with several inputs."""

    def concerns(self, subject: Subject) -> bool:
        several = len(subject.inputs) > 1
        of_kind = {None: True, "drop_in": subject.drop_in, "several": several}[self.kind]
        return of_kind and self.layout in (None, subject.layout)


LAWS: dict[str, Law] = {}
"""Every law by name, in the order in which they are checked."""


def law(
    name: str, *, catches: str, layout: Layout | None = None, kind: Kind | None = None
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Make a law of the function below: it takes a subject, and raises if the law is broken."""

    def enter(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
        LAWS[name] = Law(name, catches, check, layout, kind)
        return check

    return enter


def difference(found: Tensor, wanted: Tensor, least: float = 1e-12) -> float:
    """The largest difference, relative to the largest wanted number or to `least`, if that is more;
    infinite for a NaN.

    >>> difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    0.5
    """
    if found.numel() == 0:
        return 0.0
    found, wanted = found.detach().double(), wanted.detach().double()
    scale = wanted.abs().max().clamp_min(least)
    relative = ((found - wanted).abs().max() / scale).item()
    return relative if relative == relative else float("inf")


def require_close(
    found: Tensor, wanted: Tensor, tolerance: float, otherwise: str, least: float = 1e-12
) -> None:
    """Raise unless two tensors agree in shape and, to a relative tolerance, in value."""
    if found.shape != wanted.shape:
        raise BrokenLawError(
            f"{otherwise}: shape {tuple(found.shape)} instead of {tuple(wanted.shape)}"
        )
    apart = difference(found, wanted, least)
    if apart > tolerance:
        raise BrokenLawError(f"{otherwise}: off by {apart:.1e} of the largest value")


def require_finite(tensor: Tensor, what: str) -> None:
    if not torch.isfinite(tensor).all():
        raise BrokenLawError(f"{what} is not finite")
