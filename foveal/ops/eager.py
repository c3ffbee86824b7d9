"""When a backward pass written by hand pays."""

import torch


def runs_eagerly() -> bool:
    """Whether kernels run one by one, as they are called.

    Compilers, exporters and tracers are better given the plain form, which they fuse themselves,
    and `torch.func`'s transforms cannot see into a backward pass written by hand.
    """
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        or torch._C._are_functorch_transforms_active()
    )
