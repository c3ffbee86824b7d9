"""Focal modulation as its authors wrote it."""

from foveal.attention.linear.focal_mod import FocalModulation
from foveal.core.layout import OnChannelsLast
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("focal", source="microsoft/FocalNet classification/focalnet.py FocalModulation")
def focal(
    state: State,
    dim: int,
    focal_window: int,
    focal_level: int,
    focal_factor: int = 2,
    bias: bool = True,
    proj_drop: float = 0.0,
    use_postln_in_modulation: bool = False,
    normalize_modulator: bool = False,
) -> Translation:
    module = FocalModulation(
        dim,
        focal_window,
        focal_level,
        focal_factor,
        bias,
        normalize_modulator,
        use_postln_in_modulation,
        proj_drop,
    )
    names = {"f": "split", "h": "modulator", "ln": "norm", "proj": "proj"}
    names |= {f"focal_layers.{i}.0": f"levels.{i}" for i in range(focal_level)}
    return OnChannelsLast(module), {
        "": "mechanism",
        **{their: f"mechanism.{our}" for their, our in names.items()},
    }
