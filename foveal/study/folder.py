"""A study's folder: whose it is, whether it may be gone on with, and that one process uses it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foveal.core.errors import FovealError, require
from foveal.core.files import write_whole
from foveal.study.config import Design
from foveal.study.prepare import Prepared
from foveal.study.records import Run, Study, load_study, write_json


def open_folder(folder: Path, config: Design, resume: bool) -> Study | None:
    """What the folder holds of this study already; None if it is new.

    Raises:
        FovealError: if the folder holds another study (what differs is said), something else, or
            this study without `resume`.
    """
    if not (folder / "plan.json").is_file():
        if folder.exists() and (not folder.is_dir() or any(_visible(folder))):
            raise FovealError(
                f"{folder} is not empty and holds no study; choose another folder with --out"
            )
        return None
    study = load_study(folder)
    changed = list(differences(study.config, config.as_dict()))
    if changed:
        raise FovealError(
            f"{folder} holds a study with another configuration ({'; '.join(changed[:5])}); runs "
            "of the two cannot be compared. Choose another folder with --out, or delete this one"
        )
    if not resume:
        state = f"{len(study.runs)} of {len(study.variants) * len(study.seeds)} runs"
        raise FovealError(
            f"{folder} holds this study already, with {state}; go on with --resume, or choose "
            "another folder with --out"
        )
    return study


def _visible(folder: Path) -> Iterator[Path]:
    """What the folder holds beside hidden files and a plan that was cut off before its end."""
    ours = ("study.yaml", "pairing.json")
    return (p for p in folder.iterdir() if not p.name.startswith(".") and p.name not in ours)


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Where two configurations differ.

    >>> list(differences({"training": {"epochs": 6}}, {"training": {"epochs": 8}}))
    ['training.epochs was 6 and is 8']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True), 1):
            yield from differences(a, b, f"{name} {i}")
    elif old != new:
        yield f"{name} was {_brief(old)} and is {_brief(new)}"


def _brief(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) and len(value) > 3 else str(value)


def write_plan(folder: Path, prepared: Prepared) -> None:
    """Put down what is going to be done, the plan last: with it the folder holds a study."""
    yaml = require("yaml", "cli")
    text = yaml.safe_dump(prepared.config.as_dict(), sort_keys=False, allow_unicode=True)
    write_whole(folder / "study.yaml", text)
    write_json(folder / "pairing.json", prepared.pairing)
    write_json(folder / "plan.json", prepared.plan())


def check_pairing(run: Run, pairing: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a run that did not begin as the others of its seed.

    Raises:
        FovealError: if its host's weights or the order of its pictures were others.
    """
    expected = pairing[str(run.seed)]
    for what, ours, theirs in (
        # another host, such as a larger scale of it, has weights of its own
        (
            "the host's initial weights",
            run.host_hash,
            expected.get(f"host of {run.variant}", expected["host"]),
        ),
        ("the order of the training pictures", run.order_hash, expected["order"]),
    ):
        if ours != theirs:
            raise FovealError(
                f"{run.variant} with seed {run.seed} is not paired with the other variants: "
                f"{what} had the hash {ours}, not {theirs}. The data, the model's code or a "
                "library changed, or the model draws outside torch's seed; the study cannot go on"
            )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second process out of the folder while this one works, where the system can."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise FovealError(f"cannot write in {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FovealError(f"another process is working on the study in {folder}") from error
        for torn in folder.glob("**/.*.json.*"):
            torn.unlink()  # left by a process that was killed while it wrote
        yield
