"""Which mechanism a key of `from_original` builds."""

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from foveal.core.registry import attention_info, list_attentions
from foveal.originals.registry import ORIGINALS, Original


def loaders(name: str) -> list[Original]:
    """The originals whose checkpoints load into a mechanism, by key."""
    return [ORIGINALS[key] for key in sorted(_by_mechanism().get(name, ()))]


@cache
def _by_mechanism() -> dict[str, list[str]]:
    classes = {attention_info(name).cls.__name__: name for name in list_attentions()}
    found: dict[str, list[str]] = {}
    for key, original in ORIGINALS.items():
        for name in _built(original.build, classes):
            found.setdefault(name, []).append(key)
    return found


def _built(build: Callable[..., Any], classes: dict[str, str], depth: int = 3) -> set[str]:
    """The mechanisms that a function's code calls by class, itself or through its helpers."""
    code = inspect.getsource(build)
    words = set(re.findall(r"\b(\w+)\(", code)) | set(re.findall(r"-> *tuple\[(\w+)", code))
    built = {classes[word] for word in words & set(classes)}
    if built or not depth:
        return built
    helpers = [inspect.unwrap(build).__globals__.get(word) for word in sorted(words)]
    for helper in helpers:
        if inspect.isfunction(helper) and helper.__module__.startswith("foveal.originals"):
            built |= _built(helper, classes, depth - 1)
    return built
