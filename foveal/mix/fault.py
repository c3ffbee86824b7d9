"""A mistake in a notation, shown at its place."""

from foveal.core.errors import FovealError
from foveal.mix.tree import Span


class NotationError(FovealError):
    """A notation that cannot be read or built; the message points at the characters.

    Attributes:
        notation: the text.
        start, end: where in the text the mistake lies.
    """

    def __init__(self, reason: str, notation: str, span: Span):
        self.reason, self.notation = reason, notation
        self.start, self.end = span.start, max(span.end, span.start + 1)
        line, before = _line_at(notation, self.start)
        length = min(self.end - self.start, max(1, len(line) - before))
        super().__init__(f"{reason}\n  {line}\n  {' ' * before}{'^' * length}")

    def __reduce__(self) -> tuple:
        return NotationError, (self.reason, self.notation, Span(self.start, self.end))


def _line_at(notation: str, position: int) -> tuple[str, int]:
    """The line of a text in which a position lies, and the position's column."""
    begins = notation.rfind("\n", 0, position) + 1
    ends = notation.find("\n", position)
    return notation[begins : len(notation) if ends < 0 else ends], position - begins
