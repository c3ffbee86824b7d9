"""The mechanism on the bench: how it is built, and the inputs that it is given."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.card import Card
from foveal.core.registry import attention_info, create_attention, list_attentions
from foveal.core.signature import inputs_of, need, output_of
from foveal.mix.mixture import Mix
from foveal.testing.together import Together, positions_of

CHANNELS = 64
SIZES = (
    *((6, 9), (11, 5), (7, 13), (10, 8), (14, 14), (16, 16), (14, 28)),
    *((16, 24), (28, 14), (28, 28), (24, 16), (32, 32), (8, 8), (7, 7)),
)
"""Tried in this order. Sizes of a single window come last: an export traced at one takes the number
of windows for a constant 1."""


class Subject:
    """A mechanism under test.

    Args:
        mechanism: a name or a mix of names, a class, or any callable `channels -> nn.Module`.
        options: passed on to the constructor.
    """

    def __init__(self, mechanism: str | Callable[..., nn.Module], options: Mapping[str, Any]):
        self.options = dict(options)
        self.card = _card(mechanism)
        if isinstance(mechanism, str):
            self.label = mechanism
        else:
            self.label = getattr(mechanism, "__name__", type(mechanism).__name__)
        self._mechanism = mechanism
        self._programs: dict[str, Any] = {}

    def build(self, channels: int = CHANNELS) -> nn.Module:
        """A new module as its constructor leaves it; the random numbers are the caller's. One with
        several inputs comes as one that makes the others from the first."""
        module = self._built(channels)
        return module if len(self.inputs) == 1 else Together(module, self.inputs)

    def _built(self, channels: int) -> nn.Module:
        if isinstance(self._mechanism, str):
            return create_attention(self._mechanism, channels, **self.options)
        return self._mechanism(channels, **self.options)

    @staticmethod
    def mechanism(module: nn.Module) -> nn.Module:
        """The mechanism itself, which takes all its inputs."""
        return module.mechanism if isinstance(module, Together) else module

    def module(self, channels: int = CHANNELS, *, train: bool = False, seed: int = 0) -> nn.Module:
        """A new module, stirred; the same seed gives the same one."""
        torch.manual_seed(seed)
        return stir(self.build(channels)).train(train)

    def input(
        self,
        size: tuple[int, int] | None = None,
        *,
        batch: int = 2,
        channels: int = CHANNELS,
        seed: int = 1,
    ) -> Tensor:
        """Normal random numbers: a map of that size, or as many tokens, or a few such frames."""
        height, width = size or self.sizes[0]
        shape = {
            "map": (batch, channels, height, width),
            "tokens": (batch, height * width, channels),
            "video": (batch, 2 + height % 3, channels, height, width),
        }[self.layout]
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    def example(self, module: nn.Module, x: Tensor) -> tuple[Any, ...]:
        """All inputs of the mechanism itself, of which `x` is the first."""
        return (x, *module.others(x)) if isinstance(module, Together) else (x,)

    def sizes_of(self, example: tuple[Any, ...]) -> dict[str, int]:
        """What a cost formula may name beside C, H, W and N."""
        sizes = {"T": example[0].shape[1]} if self.layout == "video" else {}
        if len(example) > 1:
            layouts = list(self.inputs.values())[1:]
            sizes["M"] = sum(map(positions_of, layouts, example[1:]))
        return sizes

    def fits(self, module: nn.Module, x: Tensor, y: Any) -> bool:
        """Whether a result has the shape that it should: that of the first input, or for a head a
        score for each class."""
        shape = x.shape
        if self._output == "scores":
            shape = (len(x), getattr(self.mechanism(module), "num_classes", y.shape[-1]))
        return tuple(y.shape) == tuple(shape)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Read from the annotations of `forward`; a module without any is taken to speak maps."""
        return self._declared(inputs_of, {"x": "map"})

    @property
    def layout(self) -> str:
        """The layout of the first input."""
        return next(iter(self.inputs.values()))

    @cached_property
    def mixed(self) -> bool:
        """Whether it is several mechanisms in one."""
        return self.card is not None and issubclass(self.card.cls, Mix)

    @cached_property
    def drop_in(self) -> bool:
        return self._declared(need, None) is None

    @cached_property
    def _output(self) -> str:
        return self._declared(output_of, self.layout)

    def _declared(self, read: Callable[[type[nn.Module]], Any], otherwise: Any) -> Any:
        try:
            return read(self.card.cls if self.card else type(self._built(CHANNELS)))
        except Exception:  # no annotation, or no module: then the laws say why
            return otherwise

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Four sizes that the mechanism takes, so that one which needs, say, H and W divisible
        by 7 breaks the law of shape alone. All sizes, if it takes none: the laws then say why."""
        module = self.module()
        fits = []
        for size in SIZES:
            x = self.input(size)
            try:
                with torch.no_grad():
                    accepted = self.fits(module, x, module(x))
            except Exception:  # whatever it is, this size is not one that the mechanism takes
                continue
            if accepted:
                fits.append(size)
            if len(fits) == 4:
                break
        return fits or list(SIZES)

    @cached_property
    def small(self) -> int:
        """A small number of channels, or the usual one where the constructor refuses it."""
        try:
            self.build(8)
        except Exception:
            return CHANNELS
        return 8

    def exported(self) -> torch.export.ExportedProgram:
        """The module (stirred, in eval mode) as `torch.export` has it, for any batch and size.
        Exported once, and shared by the laws that need it."""
        if "any size" not in self._programs:
            free = torch.export.Dim.DYNAMIC
            axes = {"map": (0, 2, 3), "tokens": (0, 1), "video": (0, 1, 3, 4)}[self.layout]
            self._programs["any size"] = torch.export.export(
                self.module(), (self.input(),), dynamic_shapes=(dict.fromkeys(axes, free),)
            )
        return self._programs["any size"]


def stir(module: nn.Module) -> nn.Module:
    """Move every parameter and every saved buffer away from where it was born.

    A scalar born 0 makes an identity of a mechanism, and an identity passes any test. The steps
    are scaled by the number of inputs that a weight sums over, so that gates do not saturate.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and parameter.numel():
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                size = max(0.5 * parameter.square().mean().sqrt().item(), 0.3 * fan_in**-0.5)
                parameter += size * _signs_and_sizes(parameter)
        for name, value in module.state_dict(keep_vars=True).items():
            if isinstance(value, nn.Parameter) or not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.normal_(std=0.3)
            else:  # a constant that is saved: keep its sign, its zeros and its infinities
                value *= torch.empty_like(value).uniform_(0.8, 1.2)
    return module


def _signs_and_sizes(like: Tensor) -> Tensor:
    """Numbers in ±(0.5, 1), so that none is near zero."""
    return torch.empty_like(like).uniform_(0.5, 1) * torch.empty_like(like).normal_().sign()


def _card(mechanism: str | Callable[..., nn.Module]) -> Card | None:
    if isinstance(mechanism, str):
        return attention_info(mechanism)
    cards = (attention_info(name) for name in list_attentions())
    return next((card for card in cards if card.cls is mechanism), None)
