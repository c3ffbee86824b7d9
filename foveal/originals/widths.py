"""How the original code rounds a width."""

from foveal.core.errors import FovealError


def divisible_width(width: float, divisor: int, keep: float = 0.9) -> int:
    """timm's rule: the nearest multiple of a divisor, at least one, not below `keep` · width.

    >>> divisible_width(4, 8), divisible_width(20, 8), divisible_width(11, 8)
    (8, 24, 16)
    """
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < keep * width else rounded


def same_width(out_channels: int | None, in_channels: int) -> None:
    """Refuse what would change the number of channels.

    Raises:
        FovealError: if the two differ.
    """
    if out_channels not in (None, in_channels):
        raise FovealError(
            f"{in_channels} channels in and {out_channels} out: a mechanism returns the shape it "
            "was given, so only equal numbers can be loaded"
        )


def no_stride(stride: int) -> None:
    """Refuse what would change the size of the map.

    Raises:
        FovealError: if the stride is not 1.
    """
    if stride != 1:
        raise FovealError(
            f"stride={stride}: a mechanism returns the shape it was given, so only 1 can be loaded"
        )
