"""Context anchor attention as others wrote it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from foveal.attention.spatial.caa import CAA
from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class Factor(CAA):
    """The weights alone, which the original leaves to its caller to multiply."""

    def forward(self, x: Map) -> Tensor:
        return self.attention_map(x)


@original("caa", source="NUST-Machine-Intelligence-Laboratory/PKINet pkinet.py CAA")
def caa(
    state: State,
    channels: int,
    h_kernel_size: int = 11,
    v_kernel_size: int = 11,
    norm_cfg: Mapping[str, Any] | None = {"type": "BN", "momentum": 0.03, "eps": 0.001},
    act_cfg: Mapping[str, Any] | None = {"type": "SiLU"},
    init_cfg: Any = None,  # of initial values, which the weights replace
) -> Translation:
    if norm_cfg is not None and norm_cfg.get("type") not in ("BN", "BN2d", "SyncBN"):
        raise FovealError(f"norm_cfg={norm_cfg}: only batch normalisation or none can be loaded")
    act = activation_name(act_cfg and act_cfg["type"])
    module = Factor(channels, (v_kernel_size, h_kernel_size), act=act)
    for part in module.first, module.last:
        if norm_cfg is None:  # its convolutions have a bias where nothing normalises after them
            part[0], part[1] = nn.Conv2d(channels, channels, 1), nn.Identity()
        else:
            part[1].eps = norm_cfg.get("eps", 1e-5)  # type: ignore[assignment]
            part[1].momentum = norm_cfg.get("momentum", 0.1)  # type: ignore[assignment]
    return module, {
        "conv1.conv": "first.0",
        "conv1.bn": "first.1",
        "h_conv.conv": "row",
        "v_conv.conv": "column",
        "conv2.conv": "last.0",
        "conv2.bn": "last.1",
    }
