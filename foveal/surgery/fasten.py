"""Fastening an inserted mechanism to its module, and loosening it without a trace."""

from collections.abc import Iterator

from torch import nn

from foveal.surgery.hook import CHILD, After, Before, Beside, Hook, Inserted, Instead
from foveal.surgery.place import Spot, UnfitError


def fasten(model: nn.Module, spot: Spot, inserted: Inserted) -> str:
    """Put the mechanism into the host; the path of its module is returned.

    Raises:
        UnfitError: if the module's own `forward` was replaced by someone already.
    """
    module, holder = spot.module, spot.holder
    inside = Hook("", holder).holding(module)
    taken = set(dict(inside.named_children()))
    name, number = CHILD, 1
    while name in taken:
        number += 1
        name = f"{CHILD}_{number}"
    if spot.position == "before":
        hook = Before(name, holder, spot.item)
    elif spot.position == "after":
        hook = After(name, holder)
    elif inserted.strength is not None:
        hook = Beside(name, holder)
    elif "forward" in vars(module):
        raise UnfitError(f"{spot.path} has a forward of its own that is no method of its class")
    else:
        hook = Instead(module, name, holder, spot.outputs, _idle_parameters(model, module))
    refasten(module, hook, inserted)
    return ".".join([spot.path, *holder, name])


def refasten(module: nn.Module, hook: Hook, inserted: Inserted) -> None:
    """Put a hook on its module and the mechanism where the hook looks for it."""
    if isinstance(hook, Before):
        module.register_forward_pre_hook(hook, with_kwargs=True)
    elif isinstance(hook, After):
        module.register_forward_hook(hook)
    elif isinstance(hook, Beside):
        module.register_forward_hook(hook, with_kwargs=True)
    elif isinstance(hook, Instead):
        hook.let_learn(False)
        module.forward = hook
    hook.holding(module).add_module(hook.name, inserted)


def fastened(model: nn.Module) -> Iterator[tuple[str, nn.Module, Hook]]:
    """Every hook of ours in the model, with its module and the module's path."""
    for path, module in model.named_modules():
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        for hook in [*hooks, vars(module).get("forward")]:
            if isinstance(hook, Hook):
                yield path, module, hook


def loosen(module: nn.Module, hook: Hook) -> Inserted:
    """Take the hook off and the mechanism out; the module is as it was before."""
    holder = hook.holding(module)
    inserted = hook.inserted(module)
    if isinstance(hook, Instead):
        hook.let_learn(True)
        del module.forward
    tables = (
        (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
        (module._forward_hooks, module._forward_hooks_with_kwargs),
    )
    for hooks, with_kwargs in tables:
        for key in [key for key, value in hooks.items() if value is hook]:
            del hooks[key]
            with_kwargs.pop(key, None)
    delattr(holder, hook.name)
    return inserted


def _idle_parameters(model: nn.Module, module: nn.Module) -> tuple[str, ...]:
    """The parameters that only this module uses, of those that learn."""
    inside = set(module.modules())
    others = {
        p
        for other in model.modules()
        if other not in inside
        for p in other.parameters(recurse=False)
    }
    return tuple(
        name for name, p in module.named_parameters() if p.requires_grad and p not in others
    )
