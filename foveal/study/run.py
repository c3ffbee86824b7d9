"""A study from its configuration to its verdicts."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from foveal.core.errors import FovealError
from foveal.study.config import Design, load_config
from foveal.study.folder import alone, check_pairing, open_folder, write_plan
from foveal.study.prepare import Prepared, describe_power
from foveal.study.progress import progress_bar
from foveal.study.records import Comparison, Run, Study, load_study, write_json
from foveal.study.statistics import judge
from foveal.study.workers import default_workers, run_jobs


def run_study(
    config: Design | str | Path | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    workers: int | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Study:
    """Run a study, or go on with one, and judge it.

    Every finished run is on disk at once, so that a study killed at any moment goes on where it
    was, and gives the same result as one that was not.

    Args:
        config: a configuration or its file. Default: the built-in study.
        out: the folder to write to. Default: `studies/NAME`.
        resume: go on with what the folder holds; an absent folder is begun anew.
        workers: processes. Default: one per core, and one alone where training is on a GPU.
        progress: show a bar with the time left.
        say: told, line by line, what the study can see and what it does.

    Raises:
        FovealError: for a mistake in the configuration or the data, before anything is trained;
            for a run that fails, after which all finished runs are kept.
    """
    if not isinstance(config, Design):
        config = load_config(config)
    if workers is not None and workers < 1:
        raise FovealError(f"workers={workers} must be at least 1")
    folder = Path(out) if out is not None else Path("studies") / config.name
    before = open_folder(folder, config, resume)
    say(describe_power(config).text)
    prepared = config.prepare()
    for note in prepared.notes:
        say(f"Note: {note}.")
    with alone(folder):
        if before is None:
            write_plan(folder, prepared)
        if before is None or not before.complete:
            _train(prepared, folder, _workers(config, workers), progress)
        return _conclude(prepared, folder, say)


def _workers(config: Design, workers: int | None) -> int:
    return workers or (1 if config.one_gpu else default_workers())


def _train(prepared: Prepared, folder: Path, workers: int, progress: bool) -> None:
    config = prepared.config
    finished = {(run.variant, run.seed) for run in _paired_runs(prepared, folder)}
    # seed by seed, so that a study broken off has whole pairs
    jobs = [
        (variant, seed)
        for seed in config.seed_list
        for variant in prepared.variants
        if (variant.name, seed) not in finished
    ]
    total = len(jobs) + len(finished)
    bar = progress_bar(progress, total, len(finished), config.epochs)
    with (
        bar as (on_epoch, on_run),
        closing(run_jobs(config, folder, jobs, workers, on_epoch)) as runs,
    ):
        for run in runs:
            check_pairing(run, prepared.pairing)
            on_run()


def _paired_runs(prepared: Prepared, folder: Path) -> list[Run]:
    runs = load_study(folder).runs
    for run in runs:
        check_pairing(run, prepared.pairing)
    return runs


def _conclude(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> Study:
    config = prepared.config
    runs = _paired_runs(prepared, folder)

    def judged(value: Callable[[Run], float]) -> list[Comparison]:
        metrics = {
            variant.name: {run.seed: value(run) for run in runs if run.variant == variant.name}
            for variant in prepared.variants
        }
        return judge(metrics, prepared.variants, alpha=config.alpha, power=config.power)

    write_json(folder / "verdicts.json", [asdict(found) for found in judged(lambda r: r.metric)])
    if config.other_metrics:
        also = {
            metric: [asdict(found) for found in judged(lambda r, m=metric: r.details["metrics"][m])]
            for metric in config.other_metrics
        }
        write_json(folder / "verdicts-also.json", also)
    if not (folder / "costs.json").exists():
        say("Measuring what each variant costs.")
        write_json(folder / "costs.json", [asdict(cost) for cost in config.costs(prepared)])
    return load_study(folder)
