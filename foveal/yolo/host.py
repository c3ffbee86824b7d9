"""What the surgery needs to know of an ultralytics model; ultralytics itself is not imported.

A model is a wrapper (`YOLO`, `RTDETR`) around a network (`DetectionModel` and its like), which runs
the layers of one `nn.Sequential` by their `f` and `i`. Its trainer builds the network anew from the
network's `yaml`; `kept_yaml` and `keep` see to it that an insertion is not lost there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foveal.surgery.hook import Inserted
from foveal.surgery.insert import plan_of
from foveal.surgery.place import Spot, UnfitError
from foveal.surgery.trace import Trace
from foveal.yolo import presets
from foveal.yolo.kept_yaml import SETTINGS, KeptYaml, plain_yaml

_REMEMBERED = ("shape", "shapes", "anchors", "strides", "valid_mask")
"""What a head keeps from the last picture it saw."""


def is_network(model: Any) -> bool:
    """Whether a module is one of ultralytics' networks: built from a YAML, a row of layers."""
    return (
        isinstance(model, nn.Module)
        and isinstance(getattr(model, "yaml", None), dict)
        and isinstance(getattr(model, "model", None), nn.Sequential)
        and any(cls.__module__.startswith("ultralytics.") for cls in type(model).__mro__)
    )


def wrapped_network(model: Any) -> nn.Module | None:
    """The network in a `YOLO` or `RTDETR` wrapper; None if the model is no such wrapper."""
    if not any(
        (cls.__module__, cls.__name__) == ("ultralytics.engine.model", "Model")
        for cls in type(model).__mro__
    ):
        return None
    network = getattr(model, "_modules", {}).get("model")
    return network if is_network(network) else None


class UltralyticsAdapter:
    """YOLOv5u to YOLO26 and RT-DETR, in their wrapper or bare."""

    def network(self, model: Any) -> nn.Module | None:
        return model if is_network(model) else wrapped_network(model)

    def example(self, network: nn.Module) -> Tensor:
        """Two images, not square, of a size that every head takes.

        RT-DETR chooses its 300 queries among the positions of three levels, of which smaller
        pictures have too few.
        """
        channels = network.yaml.get("channels", 3)  # pyright: ignore
        generator = torch.Generator().manual_seed(0)
        return torch.rand(2, channels, 160, 192, generator=generator)

    def spots(
        self, where: Any, position: str, traced: Trace
    ) -> tuple[list[Spot], dict[str, str]] | None:
        return presets.spots(where, position, traced)

    def levels(self, where: Any, position: str, traced: Trace) -> tuple[Any, str]:
        return presets.levels(where, position, traced)

    def check(self, network: nn.Module, spot: Spot, init: str) -> None:
        """Refuse what `fuse` and `export` would throw away."""
        names = spot.path.split(".")
        for depth in range(1, len(names)):
            outer = network.get_submodule(".".join(names[:depth]))
            if hasattr(outer, "forward_fuse"):
                raise UnfitError(
                    f"{spot.path} lies inside a {type(outer).__name__}, whose parts are folded "
                    f"together by fuse() for every prediction; choose {'.'.join(names[:depth])}"
                )
        if spot.holder:
            raise UnfitError(
                f"{spot.path} hands on the output of no single layer; choose a layer inside it"
            )
        second = {"forward_fuse", "forward_split"} & set(dir(spot.module))
        if spot.position == "replace" and init == "paper" and second:
            raise UnfitError(
                f"{spot.path} is a {type(spot.module).__name__}, for which fuse() or export() puts "
                "another forward in the mechanism's place; use init='identity'"
            )

    @contextmanager
    def undisturbed(self, network: nn.Module) -> Iterator[None]:
        head = vars(network.model[-1])  # pyright: ignore
        before = {name: head[name] for name in _REMEMBERED if name in head}
        try:
            yield
        finally:
            for name in _REMEMBERED:
                head.pop(name, None)
            head.update(before)

    def inserted(self, model: Any, plan: dict[str, Any]) -> None:
        network = self.network(model)
        assert network is not None
        whole = plan_of(network, [m for m in network.modules() if isinstance(m, Inserted)])
        settings = {**(network.yaml.get(SETTINGS) or {}), "plan": whole}  # pyright: ignore
        network.yaml = KeptYaml({**network.yaml, SETTINGS: settings})  # pyright: ignore
        if network is not model:
            from foveal.yolo.keeping import keep

            keep(model)
            model.predictor = None  # it owns a copy from before

    def removed(self, model: Any) -> None:
        network = self.network(model)
        assert network is not None
        network.yaml = plain_yaml(network.yaml)  # pyright: ignore
        if network is not model:
            model.predictor = None
