"""What a study leaves on disk, as data.

STUDY/study.yaml                      the whole configuration, defaults filled in
STUDY/plan.json                       variants, seeds, what the design can see, environment
STUDY/pairing.json                    for each seed, the hashes that all its runs must have
STUDY/runs/VARIANT/seed-0007.json     one finished run each, written the moment it ends
STUDY/costs.json                      what each variant costs
STUDY/verdicts.json                   the comparisons
STUDY/verdicts-also.json              those on further metrics, for a study that has some
STUDY/report/                         index.html, table.md, table.tex, table.csv
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from foveal.core.errors import FovealError
from foveal.core.files import write_whole

Role = Literal["none", "attention", "frozen", "matched", "larger"]
VerdictWord = Literal["helps", "hurts", "not distinguishable"]


@dataclass(frozen=True)
class Variant:
    """One column of the experiment: a mechanism at places, or a control."""

    name: str
    role: Role
    attention: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    where: str | list[str] | None = None
    position: str = "after"
    init: str = "identity"
    control_of: str | None = None
    """For a frozen or matched control, the variant it stands beside."""
    anneal: dict[str, float] | None = None
    """The temperature of a mix's weightings, at the `start` and at the `end` of the training."""


@dataclass(frozen=True)
class BranchWeights:
    """How a part of a mix weighed its branches, in one run; means over test images and positions.

    Of each list of weights the first belongs to the first branch, and so on.
    """

    place: str
    """The module of the host that the mix belongs to."""
    node: str
    """The part, by its notation; what runs again in the same pass ends in ` (2)` and so on."""
    branches: list[str]
    epochs: list[list[float]]
    """One entry per epoch."""
    classes: list[list[float] | None] | None
    """After the last epoch, one entry per class, None for a class without images; None if the
    weights are the same for every image."""


@dataclass(frozen=True)
class Run:
    """One finished training."""

    variant: str
    seed: int
    metric: float
    """The study's metric on the test images after the last epoch, in [0, 1] for accuracy."""
    history: list[dict[str, float]]
    """One entry per epoch: epoch, train_loss, val_loss, val_metric."""
    host_hash: str
    """Hash of the host's initial weights; equal for all variants of one seed."""
    order_hash: str
    """Hash of the order of the training images; equal for all variants of one seed."""
    parameters: int
    seconds: float
    weights: list[BranchWeights] = field(default_factory=list)
    """One entry for each part of a mix that weighs its branches."""
    details: dict[str, Any] = field(default_factory=dict)
    """What a kind of study tells besides, as plain data."""


@dataclass(frozen=True)
class Cost:
    """What a variant costs, beside the bare host."""

    variant: str
    parameters: int
    flops: int
    bytes_moved: int
    peak_memory: int
    latency_ratio: float | None
    """Median time of a forward pass over the bare host's, interleaved in one run."""
    latency_ratio_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline, or against its own control, paired by seed."""

    variant: str
    baseline: str
    seeds: int
    mean: float
    """Mean of the variant's metric."""
    difference: float
    """Mean paired difference, variant minus baseline."""
    interval: tuple[float, float]
    """Bootstrap confidence interval of the difference, at 95 %, not corrected."""
    p: float
    """Exact paired permutation test, two-sided."""
    p_corrected: float | None
    """After Holm's correction: over the variants that the study asks about; over the controls, for
    a control; over the variants that have such a control, for a comparison with it."""
    verdict: VerdictWord
    smallest_effect: float
    """The smallest true difference that this design finds with the stated power, from the observed
    deviation of the paired differences; infinite where nothing could have been significant."""


@dataclass(frozen=True)
class Study:
    """A study as read from its folder; `runs` may be incomplete while it is under way."""

    name: str
    folder: Path
    config: dict[str, Any]
    plan: dict[str, Any]
    variants: list[Variant]
    seeds: list[int]
    runs: list[Run]
    costs: list[Cost]
    comparisons: list[Comparison]
    also: dict[str, list[Comparison]] = field(default_factory=dict)
    """The comparisons on other metrics than the study's own, by the metric."""

    @property
    def complete(self) -> bool:
        return len(self.runs) == len(self.variants) * len(self.seeds)

    def runs_of(self, variant: str) -> list[Run]:
        """The finished runs of a variant, by seed."""
        return sorted((r for r in self.runs if r.variant == variant), key=lambda run: run.seed)


def run_path(folder: Path, variant: str, seed: int) -> Path:
    return folder / "runs" / variant / f"seed-{seed:04d}.json"


def save_run(folder: Path, run: Run) -> Path:
    """Put a finished run on disk, whole."""
    return write_json(run_path(folder, run.variant, run.seed), asdict(run))


def write_json(path: Path, data: Any) -> Path:
    return write_whole(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def load_study(folder: str | Path) -> Study:
    """Read a study's folder.

    Raises:
        FovealError: if the folder holds no study, or a file in it is damaged (which file is said).
    """
    folder = Path(folder)
    if not (folder / "plan.json").is_file():
        raise FovealError(f"{folder} holds no study (no plan.json); `foveal study` makes one")
    plan = _read(folder / "plan.json")
    try:
        variants = [Variant(**v) for v in plan["variants"]]
        runs = [_run(_read(path)) for path in sorted(folder.glob("runs/*/seed-*.json"))]
        costs = [
            Cost(**_pair(c, "latency_ratio_interval")) for c in _read(folder / "costs.json", [])
        ]
        comparisons = [
            Comparison(**_pair(c, "interval")) for c in _read(folder / "verdicts.json", [])
        ]
        return Study(
            name=plan["name"],
            folder=folder,
            config=plan["config"],
            plan=plan,
            variants=variants,
            seeds=plan["seeds"],
            runs=runs,
            costs=costs,
            comparisons=comparisons,
            also={
                metric: [Comparison(**_pair(c, "interval")) for c in found]
                for metric, found in _read(folder / "verdicts-also.json", {}).items()
            },
        )
    except (KeyError, TypeError) as error:
        raise FovealError(
            f"{folder} was written by another version of Foveal or changed by hand: {error}"
        ) from error


def _read(path: Path, default: Any = None) -> Any:
    if default is not None and not path.exists():
        return default
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise FovealError(
            f"{path} is damaged ({error}); delete it to have it made again"
        ) from error


def _run(data: dict[str, Any]) -> Run:
    weights = [BranchWeights(**weights) for weights in data.get("weights", [])]
    others = {name: value for name, value in data.items() if name != "weights"}
    return Run(**others, weights=weights)


def _pair(data: dict[str, Any], key: str) -> dict[str, Any]:
    return data | {key: tuple(data[key]) if data[key] is not None else None}
