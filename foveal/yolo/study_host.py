"""The network of a detection study's variant, from its seed, and the data it is trained on."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, require
from foveal.study.records import Variant
from foveal.study.variants import put_in_beside
from foveal.yolo.kept_yaml import plain_yaml
from foveal.yolo.models import build_model, open_checkpoint, read_yaml
from foveal.yolo.study_config import DetectionConfig

LADDERS = {"yolov9": "tsmce", "yolov10": "nsmblx", "rtdetr-": "lx"}
"""Families with a file for each scale, which stands at the end of its name."""


@dataclass(frozen=True)
class DetectionData:
    """What a data.yaml says."""

    classes: list[str]
    split: str
    """The part that is tested on."""
    images: int
    """For training."""


@dataclass(frozen=True)
class BuiltNetwork:
    """A variant as a network, before any training."""

    network: nn.Module
    host_hash: str
    places: tuple[str, ...]


@lru_cache(maxsize=4)
def read_data(path: str) -> DetectionData:
    """Read a data.yaml and see that its pictures are there.

    Raises:
        FovealError: if it cannot be read, or a part is missing; nothing is downloaded.
    """
    yaml = require("yaml", "cli")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FovealError(f"could not read the dataset {path}: {error}") from error
    if not isinstance(content, dict) or not content.get("names"):
        raise FovealError(f"{path} is no dataset's YAML: it has no names of classes")
    names = content["names"]
    names = list(names.values()) if isinstance(names, dict) else list(names)
    root = Path(path).parent / (content.get("path") or "")
    split = "test" if content.get("test") else "val"
    counts = {}
    for part in ("train", "val", split):
        place = root / str(content.get(part) or "")
        if not content.get(part) or not place.exists():
            raise FovealError(
                f"{path}: its part {part!r} is not at {place}; nothing is downloaded unasked"
            )
        listed = place.rglob("*.*") if place.is_dir() else place.read_text().split()
        counts[part] = sum(1 for _ in listed)
    return DetectionData([str(name) for name in names], split, counts["train"])


def build_variant(config: DetectionConfig, variant: Variant, seed: int) -> BuiltNetwork:
    """Make the host from its seed, and insert what the variant says.

    The host's weights depend on the seed alone; what is inserted has a stream of its own.

    Raises:
        FovealError: if something does not fit, or if the insertion touched a weight of the host.
    """
    with torch.random.fork_rng():
        host = build_host(config, seed, larger=variant.role == "larger")
        before, places = put_in_beside(host, variant, seed, example_of(config), host=config.model)
        return BuiltNetwork(host, before, places)


def build_host(config: DetectionConfig, seed: int, *, larger: bool = False) -> nn.Module:
    """The bare network of a seed, at its own scale or at the next larger.

    Raises:
        FovealError: if it cannot be built, is of another task, or has no larger scale.
    """
    weights = None
    if config.model.endswith(".pt"):
        weights, _ = open_checkpoint(config.model)
        content = plain_yaml(weights.yaml)  # pyright: ignore
    else:
        content = read_yaml(config.model)
    if larger:
        above = next_larger(content)
        if above is None:
            raise FovealError(
                f"{config.model} has no larger scale; name larger in without_controls"
            )
        content, weights = above, None
    torch.manual_seed(seed)
    network: Any = build_model(content, classes=len(read_data(config.data).classes))
    if type(network).__name__ not in ("DetectionModel", "RTDETRDetectionModel"):
        raise FovealError(f"{config.model} does not detect boxes, which a study here is about")
    if weights is not None:
        network.load(weights, verbose=False)
    return network


def next_larger(content: dict[str, Any]) -> dict[str, Any] | None:
    """The YAML of the same model at the next larger scale; None for the largest.

    >>> content = {"scales": {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]}, "scale": "n"}
    >>> next_larger(content)["scale"]
    's'
    """
    scales = sorted((content.get("scales") or {}).items(), key=lambda item: item[1][:2])
    names = [name for name, _ in scales]
    own = content.get("scale") or (next(iter(content["scales"])) if scales else "")
    if own in names[:-1]:
        return {**content, "scale": names[names.index(own) + 1]}
    stem = Path(str(content.get("yaml_file") or "")).stem
    for family, letters in LADDERS.items():
        found = re.fullmatch(f"{family}([{letters}])", stem)
        if found and found[1] != letters[-1]:
            return read_yaml(f"{family}{letters[letters.index(found[1]) + 1]}.yaml")
    return None


def example_of(config: DetectionConfig) -> Tensor:
    """Two pictures of noise, of the study's size, or of what the largest head needs."""
    side = max(config.training.image_size, 160)
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
