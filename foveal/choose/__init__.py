"""Which mechanisms are worth a study for a model and a device: what they cost, and why."""

from foveal.choose.budget import Budget, read_budget
from foveal.choose.choice import Choice, Entry, Timing
from foveal.choose.prior import RULES, TASKS, Rule
from foveal.choose.rank import choose
from foveal.choose.runtime import RUNTIMES
from foveal.choose.study_file import study_text

__all__ = [
    "RULES",
    "RUNTIMES",
    "TASKS",
    "Budget",
    "Choice",
    "Entry",
    "Rule",
    "Timing",
    "choose",
    "read_budget",
    "study_text",
]
