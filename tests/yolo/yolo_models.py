"""Models that are edited as people edit them: in their YAML, by hand."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from foveal.yolo.models import build_model, read_yaml


def with_row(content: dict[str, Any], at: int, row: list[Any], shift: bool = True) -> dict:
    """A YAML with a layer more; `shift` corrects the numbers of the layers behind it."""
    edited = deepcopy(content)
    rows, cut = edited["backbone"] + edited["head"], len(edited["backbone"])

    def moved(source: int) -> int:
        return source + 1 if shift and source >= at else source

    for line in rows:
        line[0] = [moved(f) for f in line[0]] if isinstance(line[0], list) else moved(line[0])
    rows.insert(at, row)
    cut += at <= cut
    edited["backbone"], edited["head"] = rows[:cut], rows[cut:]
    return edited


def channels_after(model: nn.Module, layer: int) -> int:
    """Channels that a layer gives, read off a pass."""
    seen: list[int] = []
    layers = model.model
    assert isinstance(layers, nn.Sequential)
    hook = layers[layer].register_forward_hook(lambda m, i, o: seen.append(o.shape[1]))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 64, 64))
    hook.remove()
    return seen[0]


def built(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(read_yaml(name))
