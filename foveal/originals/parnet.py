"""ParNet's block as others wrote it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.block.parnet import ParNet
from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import no_stride, same_width


class Ungated(ParNet):
    """RepVGG's block, which ParNet's is without the gate."""

    def _weigh(self, skip: Map) -> Float[Tensor, "b c 1 1"]:
        return skip.new_ones(skip.shape[0], skip.shape[1], 1, 1)


class Nothing(nn.Module):
    """A path that is left out."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(())


@original("parnet", source="imankgoyal/NonDeepNetworks simplenet_impl/repvgg.py RepVGGBlock")
def parnet(
    state: State,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,  # which it does not use
    groups: int = 1,
    padding_mode: str = "zeros",  # nor this
    avg_pool: bool = False,  # of a stride only
    se_block: bool = False,
    activation: Any = "ReLU",
) -> Translation:
    same_width(out_channels, in_channels)
    no_stride(stride)
    if padding != 1:
        raise FovealError(f"padding={padding}: this original takes only 1")
    layer = type(activation) if isinstance(activation, nn.Module) else activation
    kind = ParNet if se_block else Ungated
    module = kind(in_channels, groups=groups, act=activation_name(layer))
    names = {
        "rbr_identity": "norm",
        "rbr_dense.conv": "wide.0",
        "rbr_dense.bn": "wide.1",
        "rbr_1x1.conv": "point.0",
        "rbr_1x1.bn": "point.1",
        "se.cvsig.conv": "gate",
    }
    if not se_block:
        del module.gate
    if kernel_size == 1:
        module.wide = Nothing()  # type: ignore[assignment]
    return module, names


@original("parnet_xmu", source="xmu-xiaoma666/External-Attention-pytorch ParNetAttention")
def parnet_xmu(state: State, channel: int = 512) -> Translation:
    module = ParNet(channel)
    module.norm = nn.Identity()  # type: ignore[assignment]  # it gates the input itself
    module.gate = nn.Conv2d(channel, channel, 1)
    state.absorb_bias("conv1x1.0", "conv1x1.1")
    state.absorb_bias("conv3x3.0", "conv3x3.1")
    return module, {"sse.1": "gate", "conv1x1": "point", "conv3x3": "wide"}
