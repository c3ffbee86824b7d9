"""The fair test: paired comparisons with controls, and a verdict that knows its limits."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foveal.study.config import StudyConfig as StudyConfig
    from foveal.study.config import load_config as load_config
    from foveal.study.prepare import describe_power as describe_power
    from foveal.study.records import load_study as load_study
    from foveal.study.run import run_study as run_study

# Reading a study needs none of what running one needs, so each is imported when asked for.
_HOMES = {
    "StudyConfig": "config",
    "describe_power": "prepare",
    "load_config": "config",
    "load_study": "records",
    "run_study": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"foveal.study.{_HOMES[name]}"), name)
