"""A fault that a model has and does not show."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One fault."""

    fault: str
    """Its kind: `shifted-index`, `untrained-attention`, `dropped-insertion`, `wrong-layer`,
    `unscaled-width`, `export-pooling` or `not-built`."""
    where: str
    """The layer or module."""
    what: str
    """What is the case."""
    why: str
    """Why that is a fault."""
    remedy: str
    """What to do."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
