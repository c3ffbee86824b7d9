"""`foveal check`: a mechanism against the laws, ours or anyone's."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from torch import nn

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.errors import FovealError
from foveal.core.imports import import_callable
from foveal.core.registry import attention_info, list_attentions
from foveal.testing import LAWS, Result, examine


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names, mixes such as 'eca > coord', or py:package.module:Class."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every registered mechanism.")] = False,
    law: Annotated[
        list[str] | None, typer.Option(help=f"Only this law; again for more: {', '.join(LAWS)}.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check mechanisms against the laws; exit status 1 when one is broken.

    Examples: foveal check eca · foveal check eca cbam --law shape --law onnx --json ·
    foveal check py:my_package.gates:MyGate · foveal check --all
    """
    if bool(names) == every:
        raise FovealError("check takes names, or --all, and not both: foveal check eca")
    # All are looked up before the first is checked.
    mechanisms = {name: _mechanism(name) for name in names or list_attentions()}
    waiting = Console(stderr=True)
    silent = len(mechanisms) < 2 or not waiting.is_terminal
    turns = track(mechanisms.items(), "Checking", console=waiting, transient=True, disable=silent)
    results = {name: examine(mechanism, laws=law) for name, mechanism in turns}
    broken = sum(r.status == "broken" for found in results.values() for r in found)
    if json:
        print_json({name: [r.as_dict() for r in found] for name, found in results.items()})
    elif every:
        _print_summary(results)
        console.print(f"{broken or 'no'} law{'' if broken == 1 else 's'} broken")
    else:
        for name, found in results.items():
            print_table(
                name, ("law", "status", "reason"), [(*r.as_dict().values(),) for r in found]
            )
        console.print(f"{broken or 'no'} law{'' if broken == 1 else 's'} broken")
    if broken:
        raise typer.Exit(1)


def _print_summary(results: Mapping[str, list[Result]]) -> None:
    """A line for each mechanism, and one for each law that is broken, or excused by a limit."""
    statuses = ("passed", "excused", "skipped", "broken")
    counts = [
        (name, *(str(sum(r.status == status for r in found)) for status in statuses))
        for name, found in results.items()
    ]
    print_table(f"{len(results)} mechanisms", ("mechanism", *statuses), counts)
    told = [
        (name, r.check, r.status, r.reason)
        for name, found in results.items()
        for r in found
        if r.status in ("broken", "excused")
    ]
    if told:
        print_table("Broken, and declared as limits", ("mechanism", "law", "", "reason"), told)
    else:
        console.print("no limits declared")


def _mechanism(spec: str) -> str | Callable[..., nn.Module]:
    """What to check: a registered name, or the class or function that the spec names."""
    return import_callable(spec) if spec.startswith("py:") else attention_info(spec).name
