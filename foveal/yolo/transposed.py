"""A gap in torch's older ONNX exporter, which is the one that ultralytics uses: `Tensor.mT`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAME, _OPSET = "aten::mT", 9


@contextmanager
def matrix_transpose_exports() -> Iterator[None]:
    """Let the older exporter know a transposed matrix while this lasts."""
    from torch.onnx import symbolic_helper
    from torch.onnx.utils import (
        register_custom_op_symbolic,  # pyright: ignore[reportPrivateImportUsage]
        unregister_custom_op_symbolic,  # pyright: ignore[reportPrivateImportUsage]
    )

    def transpose(graph: Any, x: Any) -> Any:
        rank = symbolic_helper._get_tensor_rank(x)
        if rank is None:
            return symbolic_helper._unimplemented("mT", "of a tensor of unknown rank")
        order = [*range(rank - 2), rank - 1, rank - 2]
        return graph.op("Transpose", x, perm_i=order)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register_custom_op_symbolic(_NAME, transpose, _OPSET)
    try:
        yield
    finally:
        unregister_custom_op_symbolic(_NAME, _OPSET)
