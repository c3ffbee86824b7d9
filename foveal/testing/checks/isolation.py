"""Laws about what a result may depend on: one image, one input, nothing remembered."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from foveal.testing.law import BrokenLawError, law, require_close
from foveal.testing.subject import Subject

TOLERANCE = 5e-5


@law("independent", catches="softmax over the batch, batch statistics in eval mode")
def images_independent(subject: Subject) -> None:
    module = subject.module()
    x = subject.input(batch=3)
    others = 3 * subject.input(batch=3, seed=2) + 1
    others[0] = x[0]
    with torch.no_grad():
        y = module(x)
        require_close(
            module(others)[0], y[0], TOLERANCE, "an image's result depends on the other images"
        )
        require_close(
            module(x[:1])[0], y[0], TOLERANCE, "an image alone has another result than in a batch"
        )


@law("stateless", catches="forward that keeps a map, a cache or a new parameter")
def nothing_kept(subject: Subject) -> None:
    """In train mode running statistics may move; nothing else may, and in eval mode nothing."""
    for train in (False, True):
        module = subject.module(train=train)
        held = {name: _held(part) for name, part in module.named_modules()}
        values = {name: value.clone() for name, value in module.state_dict().items()}
        for seed in (1, 2):  # the second call must not see the first
            module(subject.input(seed=seed))
        for name, part in module.named_modules():
            for key, kept in _held(part).items():
                if held.get(name, {}).get(key) is not kept:
                    raise BrokenLawError(f"forward keeps {f'{name}.{key}'.lstrip('.')}")
        for name, value in module.state_dict().items():
            running = isinstance(dict(module.named_buffers()).get(name), Tensor)
            if not torch.equal(value, values[name]) and not (train and running):
                raise BrokenLawError(f"forward changes {name}")


@law("deterministic", catches="random numbers in eval mode, results that vary with the call")
def deterministic(subject: Subject) -> None:
    x = subject.input()
    with torch.no_grad():
        module = subject.module()
        torch.manual_seed(1)
        first = module(x)
        torch.manual_seed(2)
        if not torch.equal(module(x), first):
            raise BrokenLawError("two calls in eval mode on the same input give two results")
        results = []
        for _ in range(2):
            module = subject.module(train=True)
            torch.manual_seed(1)
            results.append(module(x))
        if not torch.equal(*results):
            raise BrokenLawError("two calls in train mode after the same seed give two results")


@law("set", catches="a tokens mechanism that secretly needs the grid", layout="tokens")
def tokens_are_a_set(subject: Subject) -> None:
    """The tokens in another order give the results in that order."""
    module = subject.module()
    x = subject.input()
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        require_close(
            module(x[:, order]),
            module(x)[:, order],
            TOLERANCE,
            "the tokens in another order give other results",
        )


def _held(module: nn.Module) -> Mapping[str, object]:
    """Everything that hangs on a module, by name."""
    own = {k: v for k, v in vars(module).items() if k not in ("_parameters", "_buffers")}
    return {**own, **module._parameters, **module._buffers}
