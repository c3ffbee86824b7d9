"""Pyramid squeeze attention as its authors wrote it."""

from collections.abc import Sequence

from torch import nn

from foveal.attention.branch.epsa import EPSA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("psa_epsanet", source="murufeng/EPSANet models/epsanet.py PSAModule")
def psa_epsanet(
    state: State,
    inplans: int,
    planes: int,
    conv_kernels: Sequence[int] = (3, 5, 7, 9),
    stride: int = 1,
    conv_groups: Sequence[int] = (1, 4, 8, 16),
) -> Translation:
    """It may make more or fewer channels than it reads, and step over positions; so may this."""
    width = planes // 4
    module = EPSA(4 * width, conv_kernels[:4], (1,) * 4)
    for i, (k, g) in enumerate(zip(conv_kernels[:4], conv_groups[:4], strict=True)):
        module.paths[i] = nn.Conv2d(inplans, width, k, stride, k // 2, groups=g, bias=False)
    module.channels = inplans  # pyright: ignore[reportArgumentType]
    names = {f"conv_{i + 1}": f"paths.{i}" for i in range(4)}
    return module, names | {"se.fc1": "gates.0.0", "se.fc2": "gates.0.2"}
