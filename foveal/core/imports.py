"""What a user's own code is called on the command line: `py:package.module:name`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from foveal.core.errors import FovealError, did_you_mean


def import_callable(spec: str) -> Callable[..., Any]:
    """The class or function that `py:package.module:name` names, imported.

    Modules are looked for on Python's path and in the folder where the command is run.

    Raises:
        FovealError: if the spec is not of that form, the module is not there or cannot be
            imported, or has nothing callable of that name (near names are suggested).

    >>> import_callable("py:torch.nn:Linear")
    <class 'torch.nn.modules.linear.Linear'>
    """
    module_name, _, name = spec.removeprefix("py:").partition(":")
    if not spec.startswith("py:") or not module_name or not name:
        raise FovealError(f"{spec!r} must be py:package.module:name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a console script does not look there, as `python -m` does
    try:
        module = import_module(module_name)
    except Exception as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and f"{module_name}.".startswith(f"{absent}."):
            reason = f"there is no module {absent!r} on Python's path or in {os.getcwd()}"
        else:
            reason = f"importing {module_name} failed: {type(error).__name__}: {error}"
        raise FovealError(f"{spec}: {reason}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise FovealError(
            f"{spec}: {module_name} has no function or class {name!r}"
            f"{did_you_mean(name, vars(module))}"
        )
    return found
