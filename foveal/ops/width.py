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


def fitting_groups(channels: int, groups: int) -> int:
    """The largest number of equal groups that the channels make, not above `groups`.

    >>> fitting_groups(64, 8), fitting_groups(20, 8), fitting_groups(7, 4)
    (8, 5, 1)
    """
    return next(n for n in range(min(groups, channels), 0, -1) if channels % n == 0)
