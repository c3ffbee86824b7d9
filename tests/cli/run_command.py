"""The command, run inside the test's own process: importing torch once is enough."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

# Imported here, before any test sets COLUMNS: a console made under it keeps that width for good.
import foveal.cli.output  # noqa: F401
from foveal.cli import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


def run_command(*arguments: object) -> Said:
    """Runs `foveal ARGUMENTS` and returns its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["foveal", *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Said(code, out.getvalue(), err.getvalue())
