"""What a family of hosts knows about itself, for the surgery to ask.

A family whose models come in a wrapper, have places with names of their own or are rebuilt by their
trainer registers an adapter here. The surgery itself knows none of them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

if TYPE_CHECKING:
    from foveal.surgery.place import Spot
    from foveal.surgery.trace import Trace


class HostAdapter(Protocol):
    """One family of hosts."""

    def network(self, model: Any) -> nn.Module | None:
        """The network itself, out of its wrapper; None if the model is not of this family."""
        ...

    def example(self, network: nn.Module) -> Any:
        """An input that the network takes."""
        ...

    def spots(
        self, where: Any, position: str, traced: Trace
    ) -> tuple[list[Spot], dict[str, str]] | None:
        """Where `where` leads, as `place.spots` says it; None to leave it to the general rules."""
        ...

    def levels(self, where: Any, position: str, traced: Trace) -> tuple[Any, str]:
        """The module that hands on maps of several sizes, as the general rules name it, and whether
        those that it returns are meant (`after`) or those that it takes (`before`)."""
        ...

    def check(self, network: nn.Module, spot: Spot, init: str) -> None:
        """Raise UnfitError if the family would lose a mechanism put there."""
        ...

    def undisturbed(self, network: nn.Module) -> AbstractContextManager[None]:
        """While the network runs on the example, keep what it remembers from run to run."""
        ...

    def inserted(self, model: Any, plan: dict[str, Any]) -> None:
        """A mechanism has been put in."""
        ...

    def removed(self, model: Any) -> None:
        """All have been taken out."""
        ...


class Plain:
    """A host that needs no adapter: an ordinary module."""

    def network(self, model: Any) -> nn.Module | None:
        return model

    def example(self, network: nn.Module) -> Any:
        return None

    def spots(self, where: Any, position: str, traced: Trace) -> None:
        return None

    def levels(self, where: Any, position: str, traced: Trace) -> tuple[Any, str]:
        return where, position

    def check(self, network: nn.Module, spot: Spot, init: str) -> None:
        pass

    def undisturbed(self, network: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()

    def inserted(self, model: Any, plan: dict[str, Any]) -> None:
        pass

    def removed(self, model: Any) -> None:
        pass


_ADAPTERS: list[HostAdapter] = []


def register_adapter(adapter: HostAdapter) -> None:
    """Let the surgery ask an adapter about every model it is given."""
    _ADAPTERS.append(adapter)


def adapted(model: Any) -> tuple[nn.Module, HostAdapter]:
    """The network inside a model, and who knows its family.

    >>> network, adapter = adapted(nn.Identity())
    >>> type(network).__name__, type(adapter).__name__
    ('Identity', 'Plain')
    """
    for adapter in _ADAPTERS:
        network = adapter.network(model)
        if network is not None:
            return network, adapter
    return model, Plain()
