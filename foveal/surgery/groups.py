"""Two learning rates: one for the host, one for what was inserted."""

from typing import Any

from torch import nn

from foveal.core.errors import FovealError
from foveal.surgery.hook import Inserted


def param_groups(model: nn.Module, lr_mult: float = 10.0, **defaults: Any) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: new parameters learn faster than trained ones.

    Args:
        model: a host, with insertions or without.
        lr_mult: how many times the host's learning rate the inserted parameters get.
        defaults: options of the optimiser for both groups; `lr` is needed.

    Raises:
        FovealError: if `lr` is missing, or `lr_mult` is not above 0.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> [(g["name"], g["lr"]) for g in param_groups(host, lr_mult=10, lr=0.5)]
    [('host', 0.5), ('inserted', 5.0)]
    """
    if "lr" not in defaults:
        raise FovealError("param_groups needs the host's learning rate, such as lr=1e-3")
    if not lr_mult > 0:
        raise FovealError(f"lr_mult={lr_mult!r} must be above 0; freeze with requires_grad_(False)")
    new = {p for m in model.modules() if isinstance(m, Inserted) for p in m.parameters()}
    learning = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"name": "host", "params": [p for p in learning if p not in new], **defaults},
        {
            "name": "inserted",
            "params": [p for p in learning if p in new],
            **defaults,
            "lr": defaults["lr"] * lr_mult,
        },
    ]
    return [group for group in groups if group["params"]]
