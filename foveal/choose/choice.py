"""The answer as data: every mechanism at every place, kept or not, and why."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from foveal.choose.budget import Budget

Status = Literal["kept", "dropped", "not measured", "by hand"]


@dataclass(frozen=True)
class Timing:
    """Time of a forward pass beside the bare host's, in turns; in milliseconds."""

    p50_ms: float
    bare_p50_ms: float
    ratio: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Entry:
    """A mechanism at a place."""

    mechanism: str
    family: str
    where: str | None
    """None for one that cannot stand in a place by itself."""
    position: str | None
    paths: tuple[str, ...]
    status: Status
    group: str
    """In two or three words, why it has that status."""
    reasons: tuple[str, ...]
    rules: tuple[dict[str, Any], ...] = ()
    """The rules of the prior that spoke: name, points, source."""
    prior: int = 0
    parameters: int | None = None
    """Added, the strength of each insertion among them; by the card's formula, and counted in the
    model where it was built."""
    multiply_adds: int | None = None
    """Added, by the card's formula."""
    memory: int | None = None
    """Bytes that a forward pass holds, weights and input among them: counted, not estimated."""
    bytes_moved: int | None = None
    """Added by the kernels of a forward pass, counted."""
    heard: bool | None = None
    """Whether an output of the host depends on it; None where that was not tried."""
    timing: Timing | None = None
    score: float | None = None
    rank: int | None = None
    limits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What was asked, what the bare host costs, and the entries, best first."""

    host: str
    spec: str | None
    input: str
    image_size: int | None
    """Height and width, where the input is one square picture."""
    is_shape: bool
    task: str
    runtime: str
    budget: Budget
    bare: dict[str, int]
    """Parameters, multiply-adds, memory and bytes moved of the host alone."""
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    seconds: float
    """How long the choice took."""
    environment: dict[str, Any]

    @property
    def kept(self) -> list[Entry]:
        return self._of("kept")

    @property
    def dropped(self) -> list[Entry]:
        return self._of("dropped")

    @property
    def by_hand(self) -> list[Entry]:
        return self._of("by hand")

    @property
    def not_measured(self) -> list[Entry]:
        return self._of("not measured")

    def _of(self, status: Status) -> list[Entry]:
        return [entry for entry in self.entries if entry.status == status]

    def as_dict(self) -> dict[str, Any]:
        """The choice as plain data, for JSON."""
        return asdict(self)
