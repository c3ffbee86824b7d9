"""The variants of a study, and each as a model."""

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from foveal.core.errors import FovealError
from foveal.study.config import DataConfig, StudyConfig, VariantConfig
from foveal.study.controls import matching, stir_and_freeze
from foveal.study.records import Variant
from foveal.surgery.hosts import load_host
from foveal.surgery.insert import insert
from foveal.surgery.remove import inserted_modules
from foveal.train.data import ImageData, load_data
from foveal.train.order import weights_hash

BASELINE = "none"


@dataclass(frozen=True)
class Built:
    """A variant as a model, before any training."""

    model: nn.Module
    host_hash: str
    parameters: int
    places: tuple[str, ...]


@lru_cache(maxsize=2)
def study_data(config: DataConfig) -> ImageData:
    """The study's pictures, loaded once in a process."""
    return load_data(
        config.source,
        root=config.root,
        image_size=config.image_size,
        test_share=config.test_share,
        train_limit=config.train_limit,
        test_limit=config.test_limit,
        feedback_share=config.feedback_share,
    )


def baseline() -> Variant:
    return Variant(BASELINE, "none")


def attention_variant(config: VariantConfig) -> Variant:
    return Variant(
        name=config.label,
        role="attention",
        attention=config.attention,
        options=config.options,
        where=config.where,
        position=config.position,
        init=config.init,
        anneal=None if config.anneal is None else asdict(config.anneal),
    )


def control(of: Variant, role: Any) -> Variant:
    """The control of a variant: at the same places, by the same surgery, in the same training."""
    return replace(of, name=f"{of.name}-{role}", role=role, control_of=of.name)


def build(config: StudyConfig, variant: Variant, seed: int, data: ImageData) -> Built:
    """Make the host from its seed, and insert what the variant says.

    The host's weights depend on the seed alone; what is inserted has a stream of its own.

    Raises:
        FovealError: if something does not fit, or if the insertion touched a weight of the host.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = load_host(
            config.model.name,
            num_classes=len(data.classes),
            in_channels=data.channels,
            # a factory of the user's own loads its weights by itself
            pretrained=config.model.pretrained and not config.model.name.startswith("py:"),
        )
        if any(is_lazy(p) for p in model.parameters()):
            with torch.no_grad():  # lazy layers take their shapes, and draw, at the first call
                model.eval()(example_of(data))
        before, places = put_in_beside(
            model, variant, seed, example_of(data), host=config.model.name
        )
        return Built(model, before, parameters_of(model), places)


def put_in_beside(
    model: nn.Module, variant: Variant, seed: int, example: Tensor, *, host: str
) -> tuple[str, tuple[str, ...]]:
    """Insert what the variant says, drawn from a stream of its own.

    Returns:
        The hash of the host's weights, and the places.

    Raises:
        FovealError: if something does not fit, or if the insertion touched a weight of the host.
    """
    before = weights_hash(model)
    if variant.role not in ("attention", "frozen", "matched"):
        return before, ()
    keys = set(model.state_dict())
    torch.manual_seed(seed + 1_000_000)
    places = put_in(model, variant, example)
    if weights_hash(model, keys) != before:
        raise FovealError(
            f"inserting {variant.name} changed weights of {host}, so that it cannot be compared "
            "with the bare model"
        )
    return before, places


def example_of(data: ImageData) -> Tensor:
    """Two training pictures."""
    return data.train.__getitems__([i % len(data.train) for i in range(2)])[0]


def mechanisms(model: nn.Module) -> dict[str, nn.Module]:
    """The inserted mechanisms by the path of their module, without the insertion's strengths."""
    return {path: one.mechanism for path, one in inserted_modules(model).items()}


def parameters_of(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def put_in(model: nn.Module, variant: Variant, example: Tensor) -> tuple[str, ...]:
    """Insert into a host what a variant or a control says; the paths of the places."""
    assert variant.attention is not None
    assert variant.where is not None
    put = partial(
        insert,
        where=variant.where,
        position=variant.position,  # pyright: ignore[reportArgumentType]
        init=variant.init,  # pyright: ignore[reportArgumentType]
        example_input=example,
    )
    if variant.role == "matched":
        pattern = deepcopy(model)
        places = put(pattern, variant.attention, options=variant.options).places
        found = mechanisms(pattern)
        sizes = {place.channels: parameters_of(found[place.module]) for place in places}
        insertion = put(model, matching(sizes))
    else:
        insertion = put(model, variant.attention, options=variant.options)
    if variant.role == "frozen":
        for one in inserted_modules(model).values():
            stir_and_freeze(one.mechanism)
            if one.strength is not None:  # born 1 for an identity, which it is no more
                nn.init.zeros_(one.strength)
    return tuple(place.path for place in insertion.places)
