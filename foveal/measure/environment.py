"""Where a number was measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = (
    *("torchvision", "timm", "ultralytics", "einops", "lightning", "scipy", "numpy"),
    *("onnx", "onnxruntime", "openvino"),
)


def environment() -> dict[str, Any]:
    """The machine and the versions, as plain data to stand beside every measured number.

    No optional library is imported for it.

    >>> environment()["torch"] == torch.__version__
    True
    """
    return {
        "foveal": _version("foveal"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "os": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"


def _usable_cores() -> int:
    """The cores this process may run on, which in a container are fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
