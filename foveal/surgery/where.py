"""Which modules are meant: patterns, lists and presets, resolved against one host."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from foveal.core.errors import FovealError, did_you_mean
from foveal.surgery.roles import blocks, stage_ends
from foveal.surgery.targets import Target, targets_of
from foveal.surgery.trace import Trace

Where = str | Sequence[str]

_LAST = re.compile(r"backbone\.last([1-9][0-9]*)")
_SHOWN = 8


@dataclass
class Chosen:
    """The modules that `where` names."""

    paths: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Those named by their own path, and not found by a pattern: they must fit."""


def choose(where: Where, traced: Trace) -> Chosen:
    """Resolve `where` against a traced host.

    Args:
        where: a path; a wildcard pattern, in which `*` stands for one part of a path or a piece of
            it and `**` for any number of parts; `regex:` and a regular expression that matches a
            whole path; a preset: `stage_ends`, `last_stage` (the end of the last stage),
            `every_block`, `backbone.lastN` (the ends of the last N stages); or a list of these.

    Raises:
        FovealError: if a pattern matches nothing (near names and some targets are shown), or is no
            pattern at all.
    """
    patterns = [where] if isinstance(where, str) else where
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise FovealError(
            f"where={where!r} must be a path, a pattern, a preset ({', '.join(PRESETS)}, "
            "backbone.last2) or a list of these"
        )
    if not patterns:
        raise FovealError("where=[] names no place; `find_targets(model)` shows what there is")
    chosen = Chosen()
    for pattern in patterns:
        if pattern in traced.paths and pattern:
            path = traced.paths[pattern]
            chosen.named.add(path)
            found = [path]
        else:
            found = _preset(pattern, traced) or _matching(pattern, traced)
        chosen.paths += [path for path in found if path not in chosen.paths]
    return chosen


PRESETS: dict[str, Callable[[Trace], list[str]]] = {
    "stage_ends": stage_ends,
    "last_stage": lambda traced: stage_ends(traced)[-1:],
    "every_block": lambda traced: list(dict.fromkeys(call.path for call in blocks(traced))),
}


def _preset(pattern: str, traced: Trace) -> list[str]:
    if last := _LAST.fullmatch(pattern):
        ends = stage_ends(traced)
        if int(last[1]) > len(ends):
            raise FovealError(
                f"where={pattern!r}: the model has {len(ends)} stages: {', '.join(ends) or 'none'}"
            )
        return ends[-int(last[1]) :]
    if pattern not in PRESETS:
        return []
    found = PRESETS[pattern](traced)
    if not found:
        raise FovealError(
            f"where={pattern!r} finds nothing in {_host(traced)}, which has no repeated blocks; "
            f"name the places. {_some_targets(traced)}"
        )
    return found


def _matching(pattern: str, traced: Trace) -> list[str]:
    if pattern.startswith("regex:"):
        try:
            expression = re.compile(pattern.removeprefix("regex:"))
        except re.error as error:
            raise FovealError(f"where={pattern!r} is no regular expression: {error}") from error
    else:
        expression = re.compile(_as_expression(pattern))
    found = [path for path in traced.calls if path and expression.fullmatch(path)]
    if found:
        return found
    silent = [path for path in traced.paths if path and expression.fullmatch(path)]
    if silent:
        raise FovealError(
            f"where={pattern!r} matches {_listed(silent)}, which the forward pass never calls; "
            f"{_some_targets(traced)}"
        )
    near = did_you_mean(pattern, [*PRESETS, "backbone.last2", *traced.calls])
    raise FovealError(
        f"where={pattern!r} matches no module of {_host(traced)}{near} {_some_targets(traced)}"
    )


def _as_expression(pattern: str) -> str:
    """A wildcard pattern over paths as a regular expression.

    >>> [p for p in ("a.b", "a.b.c") if re.fullmatch(_as_expression("a.*"), p)]
    ['a.b']
    >>> [p for p in ("b", "a.b", "a.c.b") if re.fullmatch(_as_expression("**.b"), p)]
    ['b', 'a.b', 'a.c.b']
    """
    signs = {"**.": r"(?:.+\.)?", ".**": r"(?:\..+)?", "**": ".+", "*": r"[^.]+", "?": r"[^.]"}
    pieces = re.split(r"(\*\*\.|\.\*\*|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        signs.get(piece) or (piece if re.fullmatch(r"\[.+\]", piece) else re.escape(piece))
        for piece in pieces
    )


def _host(traced: Trace) -> str:
    return type(traced.root.module).__name__


def _some_targets(traced: Trace) -> str:
    targets = targets_of(traced)
    with_role = [target for target in targets if target.roles]
    shown = [*with_role[-_SHOWN:], *[t for t in targets if not t.roles][-_SHOWN:]][:_SHOWN]
    listed = ", ".join(_described(target) for target in shown)
    return f"Places there are, of {len(targets)}: {listed}"


def _described(target: Target) -> str:
    roles = f" [{', '.join(target.roles)}]" if target.roles else ""
    return f"{target.path} ({target.channels} channels){roles}"


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
