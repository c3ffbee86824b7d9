"""Hooks made into plain modules, for tools that see no hooks."""

from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.surgery.compare import largest_difference, outputs
from foveal.surgery.example import check_host, default_example, placed
from foveal.surgery.fasten import fastened, loosen, refasten
from foveal.surgery.hook import (
    After,
    Before,
    Beside,
    Hook,
    Inserted,
    Instead,
    change_first,
    first_given,
)
from foveal.surgery.hosts.adapter import adapted


class Wrapped(nn.Module):
    """A host's module that takes one tensor and returns one, with its mechanism in plain code."""

    def __init__(self, host: nn.Module, inserted: Inserted, hook: Hook):
        super().__init__()
        self.host = host
        self.inserted = inserted
        kinds = {After: "after", Before: "before", Beside: "beside", Instead: "instead"}
        self.position = kinds[type(hook)]
        self.idle = hook.idle if isinstance(hook, Instead) else ()
        self.let_learn(False)

    @torch.jit.unused
    def let_learn(self, on: bool) -> None:
        """Whether the parameters of a replaced module take a gradient."""
        for name in self.idle:
            self.host.get_parameter(name).requires_grad_(on)

    def forward(self, x: Tensor) -> Tensor:
        if not self.inserted.enabled:
            return self.host(x)
        if self.position == "instead":
            return self.inserted(x, x)
        if self.position == "before":
            return self.host(self.inserted(x, x))
        y = self.host(x)
        return self.inserted(x if self.position == "beside" else y, y)


class WrappedAny(Wrapped):
    """The same for a module that takes or returns more; it can be traced, not scripted."""

    def __init__(self, host: nn.Module, inserted: Inserted, hook: Hook):
        super().__init__(host, inserted, hook)
        self.outputs = hook.outputs if isinstance(hook, Instead) else None
        self.item = hook.item if isinstance(hook, Before) else 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        inserted = self.inserted
        if not inserted.enabled:
            return self.host(*args, **kwargs)
        if self.position == "instead":
            x = first_given(args, kwargs)
            y = inserted(x, x)
            return y if self.outputs is None else (y, *[None] * (self.outputs - 1))
        if self.position == "before":
            args, kwargs = inserted.change_call(args, kwargs, self.item)
            return self.host(*args, **kwargs)
        output = self.host(*args, **kwargs)
        if self.position == "beside":
            x = first_given(args, kwargs)
            return change_first(output, lambda y: inserted(x, y))
        return inserted.change_output(output)


def materialize(model: nn.Module, example_input: Any = None) -> nn.Module:
    """Turn every insertion's hook into a plain module around the module it belongs to, in place.

    For tools that see no hooks, such as `torch.jit.script`. The price: the keys of what is wrapped
    change (`layer1.weight` becomes `layer1.host.weight`), so load checkpoints before. Outputs are
    the same; `remove` still takes everything out again.

    Args:
        model: a host with insertions.
        example_input: as for `insert`, to compare the outputs on.

    Raises:
        FovealError: if there is nothing to materialize, or if the host reads attributes of a module
            that is now wrapped, so that it fails or computes something else; nothing is changed.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> _ = insert(host, "simam", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> materialize(host, torch.rand(1, 3, 8, 8))[0]._get_name()
    'Wrapped'
    """
    model, adapter = adapted(model)
    check_host(model)
    hooks = list(fastened(model))
    if not hooks:
        raise FovealError("the model has no insertion to materialize; `insert` makes one")
    if example_input is None:
        example_input = adapter.example(model)
    example = placed(model, default_example(model) if example_input is None else example_input)
    before = outputs(model, example).returned
    inserted = [loosen(module, hook) for _, module, hook in hooks]
    outermost: dict[nn.Module, nn.Module] = {}
    for i in _inside_out(hooks):
        _, module, hook = hooks[i]
        kind = Wrapped if inserted[i].entry["simple"] else WrappedAny
        inner = outermost.get(module, module)
        outermost[module] = kind(inner, inserted[i], hook)
        _exchange(model, inner, outermost[module])
    try:
        change = largest_difference(before, outputs(model, example).returned)
        reason = f"the outputs change by {change:.3g}" if change else None
    except Exception as error:
        reason = f"the forward pass fails ({type(error).__name__}: {error})"
    if reason:
        unwrap(model)
        for (_, module, hook), one in zip(hooks, inserted, strict=True):
            refasten(module, hook, one)
        raise FovealError(
            f"{type(model).__name__} cannot do without hooks: with wrapped modules {reason}; "
            "the model is as it was"
        )
    return model


def unwrap(model: nn.Module) -> int:
    """Put the host's own modules back where wrapped ones stand; how many there were is returned."""
    count = 0
    while found := [module for module in model.modules() if isinstance(module, Wrapped)]:
        for wrapped in found:
            wrapped.let_learn(True)
            _exchange(model, wrapped, wrapped.host)
            count += 1
    return count


def _inside_out(hooks: list[tuple[str, nn.Module, Hook]]) -> list[int]:
    """The order in which to wrap: what runs nearest to the module first, a pre-hook last."""
    nearest: dict[type[Hook], int] = {Instead: 0, After: 1, Beside: 1, Before: 2}

    def key(i: int) -> tuple[int, int]:
        rank = nearest[type(hooks[i][2])]
        return rank, -i if rank == 2 else i

    return sorted(range(len(hooks)), key=key)


def _exchange(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Let `new` stand wherever `old` stands, but inside `new` itself."""
    for parent in list(model.modules()):
        if parent is not new:
            for name, child in parent._modules.items():
                if child is old:
                    parent._modules[name] = new
