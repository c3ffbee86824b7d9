"""Laws about a mechanism inside somebody's model."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.core.types import Tokens, Video
from foveal.testing.law import BrokenLawError, law
from foveal.testing.subject import CHANNELS, Subject


class MapHost(nn.Module):
    """A small network with a place for a mechanism over maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.head = nn.Linear(CHANNELS, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self.stem(x).relu())
        return self.head(F.gelu(y).mean((2, 3)))  # means alone hear nothing of a band without one


class TokensHost(nn.Module):
    """A small network with a place for a mechanism over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, CHANNELS)
        self.body = nn.Linear(CHANNELS, CHANNELS)
        self.head = nn.Linear(CHANNELS, 5)

    def forward(self, x: Tokens) -> Tensor:
        return self.head(self.body(self.stem(x).relu()).mean(1))


class VideoHost(nn.Module):
    """A small network with a place for a mechanism over video, of 3-D convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, CHANNELS, 3, padding=1)
        self.body = nn.Conv3d(CHANNELS, CHANNELS, 1)
        self.head = nn.Linear(CHANNELS, 5)

    def forward(self, x: Video) -> Tensor:
        return self.head(self.body(self.stem(x.transpose(1, 2)).relu()).mean((2, 3, 4)))


OTHER_SEEDS = 1, 2, 3
"""Of stirring: a rectifier that random values have shut is not dead."""

HOSTS = {"map": MapHost, "tokens": TokensHost, "video": VideoHost}


@law(
    "insertion",
    kind="drop_in",
    catches="an insertion that alters a pretrained model by one bit, or never learns",
)
def insertion_silent_and_learns(subject: Subject) -> None:
    """Bit-equal at birth, and all that was inserted learns: of a stirred mechanism the strength
    first and then the rest; of one as it is born, layer by layer where some are born 0. What is
    shut off by the values that stirring gave it must be so with others as well."""
    dead = _dead_in_host(subject, subject.module, steps=1)
    for seed in OTHER_SEEDS if dead else ():
        dead &= _dead_in_host(subject, partial(subject.module, seed=seed), steps=1)
    _require_none(dead, "one step")
    dead = _dead_in_host(subject, subject.build, steps=3)
    for seed in OTHER_SEEDS if dead else ():
        dead &= _dead_in_host(subject, subject.build, steps=3, seed=seed)
    _require_none(dead, "3 steps")


def _require_none(dead: set[str], after: str) -> None:
    if dead:
        raise BrokenLawError(f"after {after} {', '.join(sorted(dead))} still get no gradient")


def _dead_in_host(
    subject: Subject, build: Callable[[int], nn.Module], steps: int, seed: int = 0
) -> set[str]:
    """What was inserted and gets no gradient after so many steps."""
    from foveal.surgery.insert import insert

    torch.manual_seed(seed)
    host = HOSTS[subject.layout]().eval()
    keys = set(host.state_dict())
    x = subject.input(channels=3)
    with torch.no_grad():
        before = host(x)
    insert(host, lambda channels: build(channels), where="body", example_input=x)
    with torch.no_grad():
        if not torch.equal(host.eval()(x), before):
            raise BrokenLawError("the host's output changes when the mechanism is inserted")
    if not keys <= set(host.state_dict()):
        raise BrokenLawError("the host's state dict loses keys")
    added = {name: p for name, p in host.named_parameters() if name not in keys}
    optimizer = torch.optim.SGD(added.values(), lr=0.1)
    for _ in range(steps):
        if not _learning(host, added, x):
            raise BrokenLawError("nothing that was inserted gets a gradient")
        optimizer.step()
        optimizer.zero_grad()
    return added.keys() - _learning(host, added, x)


def _learning(host: nn.Module, added: Mapping[str, nn.Parameter], x: Tensor) -> set[str]:
    host(x).square().sum().backward()
    return {n for n, p in added.items() if p.grad is not None and p.grad.abs().max() > 0}
