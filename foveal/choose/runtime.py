"""Where the model is to run, and which laws a mechanism must keep to get there."""

from collections.abc import Mapping

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "torch": (),
    "torch.compile": ("compile",),
    "torch.export": ("export",),
    "onnx": ("export", "onnx"),
    "mobile": ("export",),
}
"""Each runtime with the laws of the conformance kit that it stands on. `mobile` is a telephone or a
small board, reached by `torch.export`."""


def hindrance(limits: Mapping[str, str], runtime: str) -> str | None:
    """Why a mechanism with these declared limits cannot run there, or None.

    >>> hindrance({"onnx": "ONNX has no FFT of two axes"}, "onnx")
    'its card declares that it does not keep the law onnx: ONNX has no FFT of two axes'
    """
    for law in RUNTIMES[runtime]:
        if law in limits:
            return f"its card declares that it does not keep the law {law}: {limits[law]}"
    return None
