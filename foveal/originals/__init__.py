"""Checkpoints trained with the original authors' code, loaded into ours."""

from importlib import import_module
from pkgutil import iter_modules

from foveal.originals.registry import from_original, list_originals

for _file in iter_modules(__path__):  # each registers the originals that it translates
    import_module(f"{__name__}.{_file.name}")

__all__ = ["from_original", "list_originals"]
