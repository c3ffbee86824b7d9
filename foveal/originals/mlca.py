"""Mixed local channel attention as others wrote it."""

from foveal.attention.channel.eca import adaptive_kernel_size
from foveal.attention.channel_spatial.mlca import MLCA
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("mlca", source="wandahangFY/MLCA MLCA.py MLCA")
def mlca(
    state: State,
    in_size: int,
    local_size: int = 5,
    gamma: float = 2,
    b: float = 1,
    local_weight: float = 0.5,
) -> Translation:
    module = MLCA(in_size, local_size, adaptive_kernel_size(in_size, gamma, b))
    module.local_weight = local_weight  # theirs need not be a share
    # Its parameters know nothing of the channels, of which it serves any number.
    return any_channels(module), {"conv": "of_map", "conv_local": "of_cells"}
