"""The width of a bottleneck."""

from foveal.core.errors import FovealError


def hidden_width(
    channels: int, reduction: int, *, least: int = 1, hidden: int | None = None
) -> int:
    """Channels ÷ reduction, but never below `least`; or `hidden`, where the user names it.

    Raises:
        FovealError: if the reduction or the width is not a positive whole number.

    >>> hidden_width(64, 16), hidden_width(8, 16), hidden_width(64, 16, hidden=5)
    (4, 1, 5)
    """
    if reduction < 1:
        raise FovealError(f"reduction={reduction} must be at least 1")
    if hidden is None:
        return max(least, int(channels // reduction))
    if hidden < 1:
        raise FovealError(
            f"hidden={hidden} must be at least 1; leave it out for channels/reduction"
        )
    return hidden
