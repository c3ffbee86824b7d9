"""The command `foveal`: one file per verb."""

import sys

from foveal.core.errors import FovealError, require


def main() -> None:
    """Entry point of the command. A user's mistake is one line on stderr and exit status 2."""
    try:
        require("typer", "cli")
        require("rich", "cli")
        from foveal.cli.app import app

        app(prog_name="foveal")
    except FovealError as error:
        print(f"foveal: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("foveal: interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
