"""`foveal check`: a mechanism against the laws, ours or anyone's."""

from collections.abc import Callable
from typing import Annotated

import typer
from torch import nn

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.imports import import_callable
from foveal.core.registry import attention_info
from foveal.testing import LAWS, examine


def check(
    names: Annotated[
        list[str], typer.Argument(help="Registered names, or py:package.module:Class.")
    ],
    law: Annotated[
        list[str] | None, typer.Option(help=f"Only this law; again for more: {', '.join(LAWS)}.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check mechanisms against the laws; exit status 1 when one is broken.

    Examples: foveal check eca · foveal check eca cbam --law shape --law onnx --json ·
    foveal check py:my_package.gates:MyGate
    """
    mechanisms = {name: _mechanism(name) for name in names}  # all, before the first is checked
    results = {name: examine(mechanism, laws=law) for name, mechanism in mechanisms.items()}
    broken = sum(r.status == "broken" for found in results.values() for r in found)
    if json:
        print_json({name: [r.as_dict() for r in found] for name, found in results.items()})
    else:
        for name, found in results.items():
            print_table(
                name, ("law", "status", "reason"), [(*r.as_dict().values(),) for r in found]
            )
        console.print(f"{broken or 'no'} law{'' if broken == 1 else 's'} broken")
    if broken:
        raise typer.Exit(1)


def _mechanism(spec: str) -> str | Callable[..., nn.Module]:
    """What to check: a registered name, or the class or function that the spec names."""
    return import_callable(spec) if spec.startswith("py:") else attention_info(spec).name
