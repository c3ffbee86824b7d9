"""Export through ultralytics' own exporter, believed only once the file has been run.

The file is made in a folder of its own, run on real pictures at the size it was traced at and at
two others, and compared with the eager model. Only then does it take its place.
"""

import shutil
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean, require
from foveal.surgery.flow import tensors_in
from foveal.surgery.remove import enable, inserted_modules
from foveal.yolo.difference import largest_difference
from foveal.yolo.host import wrapped_network
from foveal.yolo.package import ultralytics

TOLERANCE = 1e-3
"""Of a channel's largest value; in float32 the two sides differ by about 1e-5."""

Runner = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Comparison:
    """The exported file against the eager model at one size."""

    height: int
    width: int
    traced: bool
    pictures: int
    difference: float
    """The largest difference of any output, in parts of its channel's largest value."""
    rounding: float | None = None
    """Measured where the difference is above the tolerance: the same difference between the eager
    model in float32 and in float64."""

    def allowed(self, tolerance: float) -> float:
        """The tolerance; or four times what rounding does to the model itself, up to ten times the
        tolerance. No comparison can be closer than the model is to itself."""
        return min(max(tolerance, 4 * (self.rounding or 0)), 10 * tolerance)


@dataclass(frozen=True)
class Export:
    """An export that was found right."""

    path: Path
    format: str
    comparisons: list[Comparison]
    attention: float | None
    """The same difference between the eager model with its mechanisms and without; None if it has
    none. Where this is below the tolerance, the check could not see the mechanisms."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"path": str(self.path)}


def export(
    checkpoint: str | Path,
    to: str = "onnx",
    *,
    imgsz: int | None = None,
    out: str | Path | None = None,
    tolerance: float = TOLERANCE,
    **arguments: Any,
) -> Export:
    """Export a YOLO checkpoint, run the file, and keep it only if it computes the same.

    Args:
        checkpoint: a `.pt` of ultralytics, with insertions or without.
        to: `onnx`, `torchscript` or `openvino`.
        imgsz: height and width to trace at. Default: the size it was trained at.
        out: where to put the file. Default: beside the checkpoint.
        tolerance: the largest difference allowed, in parts of a channel's largest value.
        arguments: further arguments of ultralytics' `export`. Sizes are `dynamic` unless they say
            otherwise; then the other two sizes cannot be tried, which is refused.

    Raises:
        FovealError: if the file is wrong at any size (the largest difference is said, and no file
            is kept), or cannot be run here.
        MissingExtraError: if a library is not installed.

    ::

        done = foveal.yolo.export("best.pt", to="onnx")
        print(done.path, [c.difference for c in done.comparisons])
    """
    ultralytics()
    if to not in RUNNERS:
        raise FovealError(
            f"to={to!r} cannot be checked here{did_you_mean(to, RUNNERS)} There are "
            f"{', '.join(RUNNERS)}"
        )
    source = Path(checkpoint)
    if source.suffix != ".pt" or not source.is_file():
        raise FovealError(f"there is no checkpoint {source}; give the path of a .pt file")
    if arguments.get("dynamic") is False or arguments.get("nms"):
        raise FovealError(
            "dynamic=False and nms=True make a file of one size or another output, which this "
            "check cannot compare; use ultralytics' own export for them"
        )
    runner = RUNNERS[to](None)  # a missing library is said before any work is done
    with tempfile.TemporaryDirectory(prefix="foveal-export-") as folder:
        copied = Path(folder) / source.name
        shutil.copyfile(source, copied)
        model = _opened(copied)
        network = wrapped_network(model)
        assert network is not None
        size = _size(imgsz or int(model.overrides.get("imgsz", 640)), network)
        options = {"dynamic": True, "imgsz": size, "device": "cpu", "verbose": False, **arguments}
        if to == "onnx":
            options.setdefault("simplify", find_spec("onnxslim") is not None)
        made = Path(_opened(copied).export(format=to, **options))
        runner = RUNNERS[to](made)
        comparisons = [
            _compare(network, runner, height, width, traced, tolerance)
            for height, width, traced in _sizes(size, network)
        ]
        _judge(comparisons, tolerance, to)
        share = _share_of_attention(network, size)
        target = Path(out) if out else source.parent / made.name
        _place(made, target)
    return Export(target, to, comparisons, share)


def _judge(comparisons: list[Comparison], tolerance: float, to: str) -> None:
    wrong = [c for c in comparisons if not c.difference <= c.allowed(tolerance)]
    if not wrong:
        return
    worst = max(wrong, key=lambda c: c.difference)
    where = ", ".join(f"{c.height}×{c.width}: {c.difference:.2g}" for c in comparisons)
    chaotic = (
        f"; the model itself differs by {worst.rounding:.2g} there between float32 and float64, "
        "and so sensitive a one, as of random weights, cannot be compared"
        if worst.rounding is not None and worst.rounding > tolerance
        else ""
    )
    raise FovealError(
        f"the {to} file does not compute what the model computes: outputs differ by up to "
        f"{worst.difference:.3g} of their range at {worst.height}×{worst.width}, allowed is "
        f"{worst.allowed(tolerance):g} (all sizes: {where}){chaotic}. No file was kept"
    )


def _opened(path: Path) -> Any:
    from foveal.yolo.model import YOLO

    model = YOLO(str(path))
    if wrapped_network(model) is None:
        raise FovealError(f"{path.name} holds no PyTorch network")
    return model


def _stride(network: nn.Module) -> int:
    return max(32, int(network.stride.max()))  # pyright: ignore


def _size(size: int, network: nn.Module) -> int:
    stride = _stride(network)
    return max(stride, -(-size // stride) * stride)


def _sizes(size: int, network: nn.Module) -> list[tuple[int, int, bool]]:
    """The traced size and two others, neither square; none so small that a head that picks a fixed
    number of positions has too few."""
    stride = _stride(network)
    half = size // 2 // stride * stride
    low = half if half >= 160 else size + stride
    return [(size, size, True), (size + stride, size + 3 * stride, False), (size, low, False)]


def photographs(height: int, width: int, channels: int) -> Tensor:
    """The two photographs that ship with ultralytics, in the size asked for."""
    from PIL import Image
    from ultralytics.utils import ASSETS

    arrays = []
    for path in sorted(Path(ASSETS).glob("*.jpg")):
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        arrays.append(torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1) / 255)
    if not arrays:
        raise FovealError(f"ultralytics' pictures are missing in {ASSETS}")
    return torch.stack(arrays)[:, [i % 3 for i in range(channels)]].float()


@torch.no_grad()
def _eager(network: nn.Module, x: Tensor) -> list[Tensor]:
    return [t.clone() for t in tensors_in(network.eval()(x))]


def _ranked(network: nn.Module) -> bool:
    """Whether the head returns a list of detections and not one for every position."""
    head = network.model[-1]  # pyright: ignore
    return bool(getattr(head, "end2end", False)) or hasattr(head, "num_queries")


def _compare(
    network: nn.Module, runner: Runner, height: int, width: int, traced: bool, tolerance: float
) -> Comparison:
    channels = int(network.yaml.get("channels", 3))  # pyright: ignore
    pictures = photographs(height, width, channels)
    worst, made = 0.0, []
    for picture in pictures.split(1):
        try:
            made = [torch.from_numpy(np.asarray(y)) for y in runner(picture.numpy())]
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise FovealError(
                f"the exported file fails at {height}×{width}: {type(error).__name__}: "
                f"{first[:300]}. No file was kept"
            ) from error
        worst = max(worst, largest_difference(_eager(network, picture), made, _ranked(network)))
    rounding = None if worst <= tolerance else _rounding(network, pictures, made)
    return Comparison(height, width, traced, len(pictures), worst, rounding)


def _rounding(network: nn.Module, pictures: Tensor, made: list[Tensor]) -> float:
    """How far float32 is from float64 in the eager model, in the outputs that a file has too."""
    exact, shapes = deepcopy(network).double(), [y.shape for y in made]
    worst = 0.0
    for picture in pictures.split(1):
        ours = [y for y in _eager(network, picture) if y.shape in shapes][: len(made)]
        precise = _eager(exact, picture.double())
        worst = max(worst, largest_difference(precise, ours, _ranked(network)))
    return worst


def _share_of_attention(network: nn.Module, size: int) -> float | None:
    if not inserted_modules(network):
        return None
    x = photographs(size, size, int(network.yaml.get("channels", 3)))  # pyright: ignore
    whole = _eager(network, x)
    enable(network, False)
    bare = _eager(network, x)
    enable(network, True)
    return largest_difference(whole[:1], bare[:1], _ranked(network))


def _place(made: Path, target: Path) -> None:
    """Move the file, or the folder, to where it belongs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = target.with_name(f".{target.name}.new")
    shutil.rmtree(waiting, ignore_errors=True)
    shutil.move(made, waiting)
    if target.is_dir():  # which nothing replaces in one step
        before = target.with_name(f".{target.name}.old")
        target.rename(before)
        waiting.replace(target)
        shutil.rmtree(before)
    else:
        waiting.replace(target)


def _onnx(path: Path | None) -> Runner:
    require("onnx", "onnx")
    runtime = require("onnxruntime", "onnx")
    if path is None:
        return lambda x: []
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def _torchscript(path: Path | None) -> Runner:
    if path is None:
        return lambda x: []
    module = torch.jit.load(str(path), map_location="cpu").eval()

    def run(x: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [y.numpy() for y in tensors_in(module(torch.from_numpy(x)))]

    return run


def _openvino(path: Path | None) -> Runner:
    openvino = require("openvino", "openvino")
    if path is None:
        return lambda x: []
    found = next(path.glob("*.xml"))
    compiled = openvino.Core().compile_model(found, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: list(compiled(x).values())


RUNNERS: dict[str, Callable[[Path | None], Runner]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "openvino": _openvino,
}
"""What runs a file of each format; of None, it says whether it could."""
