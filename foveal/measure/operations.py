"""How many multiply-adds a forward pass takes, counted operation by operation as it runs.

One rule per family of operations; an operation that computes and has no rule is not free but
recorded under `unknown`. Where PyTorch may run one function by different kernels (scaled dot-product
attention, the fast path of `nn.MultiheadAttention`), one way is fixed, so that the count does not
depend on the machine.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.measure.state import ExampleInput, call, undisturbed

Rule = Callable[[tuple, dict, Any], float]
"""From an operation's positional arguments, keyword arguments and result, its multiply-adds."""


@dataclass
class Operations:
    """What a forward pass computes."""

    by_operation: Counter[str] = field(default_factory=Counter)
    """Multiply-adds by the operation's name."""
    products: Counter[str] = field(default_factory=Counter)
    """Of these, the product terms of convolutions, matrix products and attention."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of operations that compute something and that no rule counts."""

    @property
    def multiply_adds(self) -> int:
        return sum(self.by_operation.values())


def count_multiply_adds(model: nn.Module, example_input: ExampleInput) -> int:
    """Multiply-adds of one forward pass in evaluation mode.

    One per scalar product term of convolutions, matrix products and attention; one per element of
    elementwise arithmetic; one per input element of a sum or mean, two of a variance or norm; four
    per element of a normalisation by the input's own statistics, one by stored ones; two per element
    of a softmax that is not inside scaled dot-product attention. Comparisons, activations, roots,
    exponentials, copies and bias additions are not counted.

    Args:
        model: any module; it may be on the meta device, where nothing is computed.
        example_input: a tensor, or a tuple of positional or a dict of keyword arguments.

    Raises:
        FovealError: if the model cannot run on the input.

    Warns:
        UserWarning: if the model uses operations that are not counted; they are named.

    >>> count_multiply_adds(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 10, 10)) == 27 * 800
    True
    """
    operations = count_operations(model, example_input)
    if operations.unknown:
        names = ", ".join(sorted(operations.unknown))
        warnings.warn(f"not counted, for no rule is known: {names}", stacklevel=2)
    return operations.multiply_adds


def count_operations(model: nn.Module, example_input: ExampleInput) -> Operations:
    """The multiply-adds of one forward pass by operation, and what could not be counted.

    Raises:
        FovealError: if the model cannot run on the input.

    >>> count_operations(nn.Linear(4, 5), torch.zeros(2, 4)).by_operation
    Counter({'addmm': 40})
    """
    counter = _Counter()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # One fused kernel would hide what the layer computes.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with undisturbed(model, training=False), torch.no_grad(), counter, _Attention(counter):
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return counter.operations


class _Counter(TorchDispatchMode):
    """Applies the rules to every operation that runs."""

    def __init__(self):
        super().__init__()
        self.operations = Operations()
        self.paused = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.paused:
            self.add(func, args, kwargs, result)
        return result

    def add(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        name = func.overloadpacket.__name__.removesuffix("_")
        if func.namespace == "aten" and name in PRODUCTS:
            products = round(PRODUCTS[name](args, kwargs, result))
            self.operations.products[name] += products
            self.operations.by_operation[name] += products
        elif func.namespace == "aten" and name in RULES:
            self.operations.by_operation[name] += round(RULES[name](args, kwargs, result))
        elif not _is_free(func, name, result):
            self.operations.unknown[str(func.overloadpacket)] += 1


class _Attention(TorchFunctionMode):
    """Counts scaled dot-product attention as such, whichever kernel then runs."""

    def __init__(self, counter: _Counter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ANN001
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or self.counter.paused:
            return func(*args, **kwargs)
        named = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        self.counter.paused = True
        try:
            result = func(*args, **kwargs)
        finally:
            self.counter.paused = False
        products = _attention((named["query"], named["key"], named["value"]), {}, result)
        self.counter.operations.products["scaled_dot_product_attention"] += products
        self.counter.operations.by_operation["scaled_dot_product_attention"] += products
        return result


def _size(value: Any) -> int:
    """Elements of a result, of its first tensor when it has several."""
    while isinstance(value, tuple | list):
        value = value[0] if value else None
    return value.numel() if isinstance(value, Tensor) else 0


def _convolution(args: tuple, kwargs: dict, result: Any) -> int:
    x, weight = args[:2]
    transposed = args[6] if len(args) > 6 else kwargs.get("transposed", False)
    # The weight is (out, in/groups, *kernel), or (in, out/groups, *kernel) when transposed.
    return (x if transposed else result).numel() * weight[0].numel()


def _attention(args: tuple, kwargs: dict, result: Any) -> int:
    """N·M·D for the scores and N·M·E for the weighted sum, in every head."""
    query, key, value = args[:3]
    scores = math.prod(query.shape[:-1]) * key.shape[-2]
    return scores * (query.shape[-1] + value.shape[-1])


def _matrix_product(first: int) -> Rule:
    """Every element of the result is a sum over the last axis of the operand at `first`."""
    return lambda args, kwargs, result: _size(result) * args[first].shape[-1]


def _per_output(multiply_adds: int) -> Rule:
    return lambda args, kwargs, result: multiply_adds * _size(result)


def _per_input(multiply_adds: int) -> Rule:
    return lambda args, kwargs, result: multiply_adds * _size(args[0])


def _batch_norm(args: tuple, kwargs: dict, result: Any) -> int:
    # (input, weight, bias, running_mean, running_var, training, …) or without running statistics
    training = next((a for a in args[3:] if isinstance(a, bool)), False)
    return (4 if training else 1) * _size(result)


def _power(args: tuple, kwargs: dict, result: Any) -> int:
    """n − 1 products for a whole exponent n; other powers are roots and exponentials."""
    exponent = args[1]
    whole = isinstance(exponent, int | float) and exponent == int(exponent) and exponent > 0
    return (int(exponent) - 1) * _size(result) if whole else 0


def _average_pool(args: tuple, kwargs: dict, result: Any) -> int:
    x, kernel = args[:2]
    rank = x.dim() - 2 if x.dim() > 2 else 1
    taps = kernel[0] ** rank if len(kernel) == 1 else math.prod(kernel)
    return taps * _size(result)


def _adaptive_average_pool(args: tuple, kwargs: dict, result: Tensor) -> int:
    x, bins = args[:2]
    taps = 1
    for size, count in zip(x.shape[-len(bins) :], bins, strict=True):
        edges = [(i * size // count, -((i + 1) * size // -count)) for i in range(count)]
        taps *= sum(end - start for start, end in edges)
    return taps * math.prod(x.shape[: -len(bins)])


def _pairs(args: tuple, kwargs: dict, result: Any) -> int:
    """Every distance is a difference, a square and a sum over the last axis."""
    return 3 * _size(result) * args[0].shape[-1]


def _bilinear(args: tuple, kwargs: dict, result: Any) -> int:
    """Four weighted neighbours, sixteen when bicubic, none when nearest (modes 0, 2, 1)."""
    mode = args[2] if len(args) > 2 else kwargs.get("interpolation_mode", 0)
    return {0: 2 ** (args[0].dim() - 2), 1: 0, 2: 16}[mode] * _size(result)


def _table(*families: tuple[str, Rule]) -> dict[str, Rule]:
    return {name: rule for names, rule in families for name in names.split()}


PRODUCTS = _table(
    ("convolution _convolution convolution_overrideable", _convolution),
    ("mm bmm matmul linear mv dot vdot _int_mm _scaled_mm", _matrix_product(0)),
    ("addmm baddbmm addmv", _matrix_product(1)),
    ("addbmm", lambda args, kwargs, result: args[1].numel() * args[2].shape[-1]),
    ("addr", _per_output(1)),
    (
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_fused_attention_overrideable scaled_dot_product_attention",
        _attention,
    ),
)
"""Operations whose cost is that of their product terms."""

RULES = _table(
    ("add sub rsub mul div reciprocal lerp addcmul addcdiv", _per_output(1)),
    ("true_divide floor_divide remainder fmod square cumsum cumprod glu", _per_output(1)),
    ("pow", _power),
    ("sum mean nansum prod logsumexp", _per_input(1)),
    ("var std var_mean std_mean norm linalg_vector_norm", _per_input(2)),
    ("_softmax _log_softmax softmax log_softmax _safe_softmax", _per_output(2)),
    (
        "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit "
        "_batch_norm_with_update _native_batch_norm_legit_functional batch_norm",
        _batch_norm,
    ),
    ("_native_batch_norm_legit_no_training _batch_norm_no_update", _per_output(1)),
    ("native_layer_norm native_group_norm _fused_rms_norm", _per_output(4)),
    ("avg_pool1d avg_pool2d avg_pool3d", _average_pool),
    ("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d", _adaptive_average_pool),
    ("upsample_linear1d _upsample_linear1d", _per_output(2)),
    ("upsample_bilinear2d _upsample_bilinear2d_aa", _per_output(4)),
    ("upsample_trilinear3d", _per_output(8)),
    ("upsample_bicubic2d _upsample_bicubic2d_aa", _per_output(16)),
    ("grid_sampler_2d grid_sampler_3d cudnn_grid_sampler", _bilinear),
    ("_cdist_forward _euclidean_dist", _pairs),
)
"""Arithmetic that is counted beside the products."""

FREE = frozenset(
    # copies and what only moves or makes values
    "clone copy _to_copy contiguous cat stack empty empty_like empty_strided new_empty "
    "new_empty_strided new_zeros new_ones new_full zeros zeros_like ones ones_like full full_like "
    "fill zero arange linspace eye scalar_tensor rand randn rand_like randn_like randint randperm "
    "bernoulli uniform normal native_dropout dropout constant_pad_nd reflection_pad1d "
    "reflection_pad2d replication_pad1d replication_pad2d pad roll flip rot90 repeat "
    "repeat_interleave gather scatter index index_select index_put index_copy masked_select "
    "take take_along_dim embedding where masked_fill tril triu diag_embed im2col pixel_shuffle "
    "pixel_unshuffle channel_shuffle native_channel_shuffle upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact2d nonzero unbind_copy split_copy tril_indices "
    "triu_indices lift_fresh lift_fresh_copy _local_scalar_dense item set resize detach alias "
    "_reshape_alias _reshape_copy complex view_as_real view_as_complex _unsafe_view _unsafe_index "
    "_conj real imag fill_diagonal unfold_copy narrow_copy slice_scatter select_scatter "
    "as_strided_scatter unique_dim _unique2 one_hot meshgrid _pin_memory "
    # comparisons and choices
    "eq ne lt le gt ge isnan isinf isfinite logical_and logical_or logical_not logical_xor "
    "bitwise_and bitwise_or bitwise_not bitwise_xor any all max min amax amin aminmax maximum "
    "minimum fmax fmin argmax argmin topk sort argsort kthvalue median clamp clamp_min clamp_max "
    "clip max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d "
    "adaptive_max_pool2d adaptive_max_pool3d mkldnn_max_pool2d searchsorted bucketize equal "
    # activations, signs, roots, exponentials and rounding
    "relu relu6 leaky_relu prelu _prelu_kernel rrelu rrelu_with_noise elu celu selu gelu silu mish "
    "softplus sigmoid log_sigmoid_forward tanh hardtanh hardswish hardsigmoid hardshrink softshrink "
    "threshold neg abs sgn sign heaviside exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos "
    "tan asin acos atan atan2 sinh cosh erf erfc erfinv floor ceil round trunc frac angle".split()
)
"""Not arithmetic, or not counted by the definition above."""


def _is_free(func: Any, name: str, result: Any) -> bool:
    if func.namespace == "prim" or (func.namespace == "aten" and name in FREE):
        return True
    returns = func._schema.returns
    view = bool(returns) and all(r.alias_info and not r.alias_info.is_write for r in returns)
    return view or _size(result) == 0  # nothing computed: a shape, a flag
