"""How the host and what was inserted learn beside each other."""

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.surgery.hook import Inserted


def inserted_parameters(network: nn.Module) -> set[nn.Parameter]:
    """The parameters of all insertions."""
    return {p for m in network.modules() if isinstance(m, Inserted) for p in m.parameters()}


def freeze_host(network: nn.Module) -> None:
    """Let only what was inserted take a gradient.

    Raises:
        FovealError: if nothing was inserted, or it has no parameters.
    """
    ours = inserted_parameters(network)
    if not ours:
        raise FovealError("freeze_host leaves nothing to learn: no mechanism was inserted")
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in ours)


def hold_host(network: nn.Module) -> None:
    """Let the host's batch norms keep the statistics that they have."""
    ours = {m for one in network.modules() if isinstance(one, Inserted) for m in one.modules()}
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in ours:
            module.eval()


def regroup(optimizer: torch.optim.Optimizer, network: nn.Module, times: float) -> None:
    """Give what was inserted groups of its own, at `times` the host's learning rate.

    A strength does not decay, whatever group it was put into: to pull it to 0 is to switch the
    mechanism off.
    """
    if not times > 0:
        raise FovealError(f"attention_lr={times!r} must be above 0: how many times the host's rate")
    ours = inserted_parameters(network)
    strengths = {
        m.strength for m in network.modules() if isinstance(m, Inserted) and m.strength is not None
    }
    groups = []
    for group in optimizer.param_groups:
        parts = [
            ([p for p in group["params"] if p not in ours and p.requires_grad], {}),
            ([p for p in group["params"] if p in ours - strengths], {"lr": group["lr"] * times}),
            (
                [p for p in group["params"] if p in strengths],
                # ultralytics sets the decay of its group "weight" anew when a batch is made smaller
                {"lr": group["lr"] * times, "weight_decay": 0.0, "param_group": "bn"},
            ),
        ]
        groups += [{**group, **own, "params": params} for params, own in parts if params]
    optimizer.param_groups[:] = groups
