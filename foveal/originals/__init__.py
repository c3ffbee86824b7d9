"""Checkpoints trained with the original authors' code, loaded into ours."""

from foveal.originals import bam as bam
from foveal.originals import cbam as cbam
from foveal.originals import coord as coord
from foveal.originals import danet as danet
from foveal.originals import eca as eca
from foveal.originals import external as external
from foveal.originals import gc as gc
from foveal.originals import mhsa as mhsa
from foveal.originals import se as se
from foveal.originals import simam as simam
from foveal.originals import sk as sk
from foveal.originals import triplet as triplet
from foveal.originals.registry import from_original, list_originals

__all__ = ["from_original", "list_originals"]
