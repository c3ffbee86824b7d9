"""Taking insertions out, and switching them off and on."""

from torch import nn

from foveal.surgery.fasten import fastened, loosen
from foveal.surgery.hook import Inserted, Instead
from foveal.surgery.hosts.adapter import adapted
from foveal.surgery.materialize import Wrapped, unwrap


def inserted_modules(model: nn.Module) -> dict[str, Inserted]:
    """The inserted modules by their paths; `.mechanism` of one is the mechanism itself.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> {path: type(m.mechanism).__name__ for path, m in inserted_modules(host).items()}
    {'0.foveal_attention': 'ECA'}
    """
    network, _ = adapted(model)
    return {path: m for path, m in network.named_modules() if isinstance(m, Inserted)}


def remove(model: nn.Module) -> int:
    """Take every insertion out; the model is what it was before. How many there were is returned.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> remove(host), list(host.state_dict())
    (1, ['0.weight', '0.bias'])
    """
    network, adapter = adapted(model)
    wrapped = unwrap(network)
    hooks = list(fastened(network))
    for _, module, hook in hooks:
        loosen(module, hook)
    orphans = [  # a conversion that rebuilt the module kept the child and dropped the hook
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, Inserted)
    ]
    for parent, name in orphans:
        delattr(parent, name)
    adapter.removed(model)
    return wrapped + len(hooks) + len(orphans)


def enable(model: nn.Module, on: bool) -> int:
    """Switch every insertion on, or off, which makes the host compute as if it had none.

    The parameters stay; how many insertions there are is returned.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", init="paper", example_input=torch.rand(1, 3, 8, 8))
    >>> enable(host, False)
    1
    """
    inserted = [m for m in model.modules() if isinstance(m, Inserted)]
    for module in inserted:
        module.enabled = bool(on)
    replacing = [hook for _, _, hook in fastened(model) if isinstance(hook, Instead)]
    for one in [*replacing, *(m for m in model.modules() if isinstance(m, Wrapped))]:
        one.let_learn(not on)
    return len(inserted)
