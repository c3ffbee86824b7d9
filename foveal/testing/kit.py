"""Checking a mechanism against the laws: as data, as an exception, and as pytest's tests."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from foveal.core.errors import FovealError, MissingExtraError, did_you_mean, require
from foveal.core.registry import list_attentions
from foveal.testing import checks as checks  # fills LAWS
from foveal.testing.law import LAWS, BrokenLawError, Law, NotCheckedError
from foveal.testing.subject import Subject

Mechanism = str | Callable[..., nn.Module]
Status = Literal["passed", "broken", "excused", "skipped"]


@dataclass(frozen=True)
class Result:
    """What came of one law.

    Status `excused` is a law that is broken, as the card's limits or the caller expected; `skipped`
    is one that could not be checked here, which is neither for the mechanism nor against it.
    """

    check: str
    status: Status
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class ConformanceError(AssertionError):
    """A mechanism breaks laws; `.results` has what came of every law."""

    def __init__(self, label: str, results: list[Result]):
        self.results = results
        broken = [result for result in results if result.status == "broken"]
        laws = f"{len(broken)} law{'s' if len(broken) != 1 else ''}"
        lines = [f"{label} breaks {laws}:", *(f"  {r.check}: {r.reason}" for r in broken)]
        super().__init__("\n".join(lines))


def check_attention(
    mechanism: Mechanism,
    *,
    expected: Mapping[str, str] | None = None,
    laws: Iterable[str] | None = None,
    **options: Any,
) -> list[Result]:
    """Check a mechanism against every law, and raise if it breaks one.

    Args:
        mechanism: a name or a mix of names, a class, or a callable `channels -> nn.Module`. The
            layout is read from the annotation of `forward`; a module without one is taken to speak
            maps.
        expected: laws that it is known to break, each with the reason; a registered mechanism's own
            `limits` are known already. A law that is excused and kept is a broken law: the excuse
            has outlived the fault.
        laws: only these laws. Default: all, `foveal.testing.LAWS`.
        options: passed on to the constructor.

    Returns:
        What came of each law, in order.

    Raises:
        ConformanceError: with every broken law and the reason.
        FovealError: if `expected` or `laws` names a law that there is not.

    >>> [result.status for result in check_attention("eca", laws=["shape", "input_untouched"])]
    ['passed', 'passed']
    """
    results = examine(mechanism, expected=expected, laws=laws, **options)
    if any(result.status == "broken" for result in results):
        raise ConformanceError(Subject(mechanism, options).label, results)
    return results


def examine(
    mechanism: Mechanism,
    *,
    expected: Mapping[str, str] | None = None,
    laws: Iterable[str] | None = None,
    **options: Any,
) -> list[Result]:
    """`check_attention` without the exception: what came of each law, broken ones among them."""
    subject = Subject(mechanism, options)
    excuses = _excuses(subject, expected)
    return [check_law(law, subject, excuses) for law in _laws(laws, subject)]


def check_law(law: Law, subject: Subject, excuses: Mapping[str, str]) -> Result:
    """What came of one law. The caller's random numbers are left as they were."""
    excuse = excuses.get(law.name)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            law.check(subject)
    except (NotCheckedError, MissingExtraError) as error:
        return Result(law.name, "skipped", str(error))
    except Exception as error:
        if excuse is not None:
            return Result(law.name, "excused", excuse)
        return Result(law.name, "broken", _reason(error))
    if excuse is not None:
        return Result(law.name, "broken", f"excused ({excuse}), yet kept: take the excuse away")
    return Result(law.name, "passed")


def parametrize_with_checks(
    *mechanisms: Mechanism, expected: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make pytest run one test per mechanism and law, such as `test_conformance[eca-shape]`.

    Args:
        mechanisms: names, classes or callables, as for `check_attention`. Default: all registered.
        expected: as for `check_attention`, for each of them.

    The test takes `check` and calls it; a law that is not kept fails it, an excused one is
    reported as an expected failure, and one that could not be checked as skipped.

        @parametrize_with_checks("eca")
        def test_conformance(check):
            check()
    """
    pytest = require("pytest", "dev")
    cases = []
    for mechanism in mechanisms or list_attentions():
        subject = Subject(mechanism, {})
        excuses = _excuses(subject, expected)
        for law in _laws(None, subject):
            run = partial(_run_as_test, pytest, law, subject, excuses)
            cases.append(pytest.param(run, id=f"{subject.label}-{law.name}"))
    return pytest.mark.parametrize("check", cases)


def _run_as_test(pytest: Any, law: Law, subject: Subject, excuses: Mapping[str, str]) -> None:
    result = check_law(law, subject, excuses)
    if result.status == "skipped":
        pytest.skip(result.reason)
    if result.status == "excused":
        pytest.xfail(result.reason)
    if result.status == "broken":
        raise ConformanceError(subject.label, [result])


def _excuses(subject: Subject, expected: Mapping[str, str] | None) -> dict[str, str]:
    excuses = {**(subject.card.limits if subject.card else {}), **(expected or {})}
    for name in excuses:
        _require_law(name, f"{subject.label} excuses")
    return excuses


def _laws(names: Iterable[str] | None, subject: Subject) -> list[Law]:
    """The laws asked for, in their order; unless asked for by name, those that concern it alone."""
    if names is None:
        return [law for law in LAWS.values() if law.concerns(subject)]
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        _require_law(name, "laws has")
    return [law for law in LAWS.values() if law.name in wanted]


def _require_law(name: str, where: str) -> None:
    if name not in LAWS:
        raise FovealError(
            f"{where} {name!r}, which is no law{did_you_mean(name, LAWS)} "
            f"The laws: {', '.join(LAWS)}"
        )


def _reason(error: BaseException) -> str:
    """One line; a broken law speaks for itself, any other error by its type and first cause."""
    if isinstance(error, BrokenLawError):
        return str(error)
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
