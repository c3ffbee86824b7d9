"""Laws about what leaves Python: export, compile, ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import torch

from foveal.core.errors import require
from foveal.testing.law import BrokenLawError, law, require_close
from foveal.testing.subject import Subject

TOLERANCE = 1e-4


@law("compile", catches="breaks in the graph, data-dependent branches")
def compiles(subject: Subject) -> None:
    """As one graph, with the same output and gradients; in float64, where a gradient that is a
    small rest of large numbers is more than their rounding."""
    module = subject.module().double()
    x, again = (subject.input().double().requires_grad_() for _ in range(2))
    wanted = module(x)
    pull = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    wanted.backward(pull)
    torch.compiler.reset()
    with _quiet():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        y = compiled(again)
        y.backward(pull)
    require_close(y, wanted, TOLERANCE, "the compiled module's result")
    if x.grad is not None and again.grad is not None:
        require_close(again.grad, x.grad, TOLERANCE, "the compiled module's gradient")


@law("export", catches="sizes baked in, data-dependent branches")
def exports(subject: Subject) -> None:
    """With any batch, height and width; compared at three sizes that were not traced."""
    with _quiet():
        program = subject.exported()
        exported = program.module()
    module = subject.module()
    for x in _unseen(subject):
        with torch.no_grad():
            require_close(exported(x), module(x), TOLERANCE, f"exported, at {tuple(x.shape)}")


@law("onnx", catches="pooling windows baked in at export")
def onnx_agrees(subject: Subject) -> None:
    """Exported once for any size, run by onnxruntime at three sizes that were not traced."""
    require("onnx", "onnx")
    require("onnxscript", "onnx")
    runtime = require("onnxruntime", "onnx")
    with _quiet():
        exported = torch.onnx.export(subject.exported(), dynamo=True, verbose=False)
        if exported is None:
            raise BrokenLawError("torch.onnx.export gives nothing")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        exported.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    module = subject.module()
    for x in _unseen(subject):
        what = f"onnxruntime, at {tuple(x.shape)}"
        try:
            (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        except Exception as error:
            raise BrokenLawError(f"{what}: {str(error).splitlines()[0]}") from error
        with torch.no_grad():
            require_close(torch.from_numpy(y), module(x), TOLERANCE, what)


def _unseen(subject: Subject) -> Iterator[torch.Tensor]:
    if len(subject.sizes) < 4:
        takes = ", ".join(f"{height}×{width}" for height, width in subject.sizes)
        raise BrokenLawError(f"only {takes} are taken, so nothing is known of other sizes")
    for batch, size in zip((1, 3, 2), subject.sizes[1:4], strict=True):
        yield subject.input(size, batch=batch, seed=5)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' chatter on either stream."""
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
