"""Laws about a module that is moved, copied, saved or loaded."""

import copy
import pickle

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.testing.law import BrokenLawError, law
from foveal.testing.subject import Subject


@law("copies", catches="plain tensors instead of buffers, parameters in a list, no pickle")
def copies_agree(subject: Subject) -> None:
    module = subject.module()
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            _require_registered(f"{name}.{key}".lstrip("."), key, value)
    torch.manual_seed(7)  # other random numbers than the original was born with
    loaded = subject.build()
    loaded.load_state_dict(module.state_dict(), strict=True)
    x = subject.input()
    with torch.no_grad():
        wanted = module(x)
        for what, other in {
            "deepcopy": copy.deepcopy(module),
            "a new module with the same state dict": loaded.eval(),
            "pickle": pickle.loads(pickle.dumps(module)),
        }.items():
            if not torch.equal(other(x), wanted):
                raise BrokenLawError(f"{what} gives another result")


@law("meta", catches="`.cuda()`, a device or a number read from a tensor in the code")
def runs_on_meta(subject: Subject) -> None:
    """Built and called without memory, on a device that is neither CPU nor GPU."""
    with torch.device("meta"):
        module = subject.build().eval()
    for name, value in module.state_dict().items():
        if value.device.type != "meta":
            raise BrokenLawError(f"{name} is made on {value.device}, whatever the device asked for")
    x = subject.input().to("meta")
    with torch.no_grad(), _OnlyOn("meta"):
        y = module(x)
    if y.device.type != "meta" or not subject.fits(module, x, y):
        raise BrokenLawError(f"the result is {tuple(y.shape)} on {y.device}")


class _OnlyOn(TorchDispatchMode):
    """Refuse tensors (single numbers apart) that are made on another device."""

    def __init__(self, device: str):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim and result.device.type != self.device:
            raise BrokenLawError(
                f"forward makes a tensor on {result.device} ({func}); use x.device"
            )
        return result


def _require_registered(path: str, key: str, value: object) -> None:
    if key in ("_parameters", "_buffers", "_modules"):
        return
    if isinstance(value, Tensor):
        raise BrokenLawError(
            f"{path} is a plain tensor: use register_buffer, so that it moves and saves"
        )
    items = value.values() if isinstance(value, dict) else value
    if isinstance(items, list | tuple | set | type({}.values())):
        for item in items:
            if isinstance(item, nn.Module | Tensor):
                raise BrokenLawError(
                    f"{path} holds a {type(item).__name__} where torch does not see it: use "
                    "nn.ModuleList, nn.ParameterList or register_buffer"
                )
