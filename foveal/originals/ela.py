"""Efficient local attention as others wrote it."""

from foveal.attention.channel_spatial.ela import ELA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_NAMES = {"gn": "norm"}


@original("ela_blog", source="the blog's EfficientLocalizationAttention")
def ela_blog(state: State, channel: int, kernel_size: int = 7) -> Translation:
    return ela_grouped(state, channel, kernel_size, channel)


@original(
    "ela_grouped", source="the blog's EfficientLocalizationAttention, with the paper's groups"
)
def ela_grouped(
    state: State,
    channel: int,
    kernel_size: int = 7,
    groups: int | None = None,
    num_group: int = 16,
) -> Translation:
    module = ELA(channel, kernel_size=kernel_size, groups=groups, norm_groups=num_group)
    return module, _NAMES
