"""The command, run inside the test's own process: importing torch once is enough."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from foveal.cli import main
from foveal.cli.output import console


class Said(NamedTuple):
    code: int
    out: str
    err: str


def run_command(*arguments: object) -> Said:
    """Runs `foveal ARGUMENTS` and returns its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["foveal", *map(str, arguments)]
    # a console keeps the COLUMNS that it was made under, in whichever test that was
    console.width = int(os.environ.get("COLUMNS", "80"))
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Said(code, out.getvalue(), err.getvalue())
