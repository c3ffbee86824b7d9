"""What each operation of PyTorch counts as, in multiply-adds: one rule per family."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

Rule = Callable[[tuple, dict, Any], float]
"""From an operation's positional arguments, keyword arguments and result, its multiply-adds."""


def size_of(value: Any) -> int:
    """Elements of a result, of its first tensor when it has several."""
    if isinstance(value, tuple | list):
        return size_of(next(iter(value), None))
    return value.numel() if isinstance(value, Tensor) else 0


def _convolution(args: tuple, kwargs: dict, result: Any) -> int:
    x, weight, transposed = args[0], args[1], args[6]
    # The weight is (out, in/groups, *kernel), or (in, out/groups, *kernel) when transposed.
    return (x if transposed else result).numel() * weight[0].numel()


def attention_products(args: tuple, kwargs: dict, result: Any) -> int:
    """N·M·D for the scores and N·M·E for the weighted sum, in every head."""
    query, key, value = args[:3]
    scores = math.prod(query.shape[:-1]) * key.shape[-2]
    return scores * (query.shape[-1] + value.shape[-1])


def _recurrent(args: tuple, kwargs: dict, result: Any) -> int:
    """Both weight matrices of the cell, at every step of every sequence."""
    x, of_input, of_state = args[:3]
    return math.prod(x.shape[:-1]) * (of_input.numel() + of_state.numel())


def _matrix_product(first: int) -> Rule:
    """Every element of the result is a sum over the last axis of the operand at `first`."""
    return lambda args, kwargs, result: size_of(result) * args[first].shape[-1]


def _per_output(multiply_adds: int) -> Rule:
    return lambda args, kwargs, result: multiply_adds * size_of(result)


def _per_input(multiply_adds: int) -> Rule:
    return lambda args, kwargs, result: multiply_adds * size_of(args[0])


def _batch_norm(args: tuple, kwargs: dict, result: Any) -> int:
    # (input, weight, bias, running_mean, running_var, training, …) or without running statistics
    training = next((a for a in args[3:] if isinstance(a, bool)), False)
    return (4 if training else 1) * size_of(result)


def _power(args: tuple, kwargs: dict, result: Any) -> int:
    """n − 1 products for a whole exponent n; other powers are roots and exponentials."""
    exponent = args[1]
    whole = isinstance(exponent, int | float) and exponent >= 1 and exponent % 1 == 0
    return (int(exponent) - 1) * size_of(result) if whole else 0


def _average_pool(args: tuple, kwargs: dict, result: Any) -> int:
    x, kernel = args[:2]
    rank = x.dim() - 2 if x.dim() > 2 else 1
    taps = kernel[0] ** rank if len(kernel) == 1 else math.prod(kernel)
    return taps * size_of(result)


def _adaptive_average_pool(args: tuple, kwargs: dict, result: Tensor) -> int:
    x, bins = args[:2]
    taps = 1
    for size, count in zip(x.shape[-len(bins) :], bins, strict=True):
        edges = [(i * size // count, -((i + 1) * size // -count)) for i in range(count)]
        taps *= sum(end - start for start, end in edges)
    return taps * math.prod(x.shape[: -len(bins)])


def _fourier(whole: float, axes: int, of: int | None = None) -> Rule:
    """Multiply-adds of a fast Fourier transform over the axes at position `axes`: log₂ n for each
    number and axis, times `whole`, which is less for real numbers than for complex ones."""

    def rule(args: tuple, kwargs: dict, result: Any) -> float:
        numbers = result if of is None else args[of]
        return whole * size_of(numbers) * sum(math.log2(numbers.shape[a]) for a in args[axes])

    return rule


def _pairs(args: tuple, kwargs: dict, result: Any) -> int:
    """Every distance is a difference, a square and a sum over the last axis."""
    return 3 * size_of(result) * args[0].shape[-1]


def _bilinear(args: tuple, kwargs: dict, result: Any) -> int:
    """Four weighted neighbours, sixteen when bicubic, none when nearest (modes 0, 2, 1)."""
    mode: int = args[2]
    return {0: 2 ** (args[0].dim() - 2), 1: 0, 2: 16}[mode] * size_of(result)


def _words(names: str) -> list[str]:
    return names.split()


def _table(*families: tuple[str, Rule]) -> dict[str, Rule]:
    return {name: rule for names, rule in families for name in _words(names)}


PRODUCTS = _table(
    ("convolution _convolution convolution_overrideable", _convolution),
    ("mm bmm matmul linear mv dot vdot _int_mm _scaled_mm", _matrix_product(0)),
    ("addmm baddbmm addmv", _matrix_product(1)),
    ("addbmm", lambda args, kwargs, result: args[1].numel() * args[2].shape[-1]),
    ("addr", _per_output(1)),
    ("mkldnn_rnn_layer", _recurrent),
    (
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_fused_attention_overrideable scaled_dot_product_attention",
        attention_products,
    ),
)
"""Operations whose cost is that of their product terms."""

RULES = _table(
    ("add sub rsub mul div reciprocal lerp addcmul addcdiv", _per_output(1)),
    ("true_divide floor_divide remainder fmod square cumsum cumprod glu", _per_output(1)),
    ("pow", _power),
    ("sum mean nansum prod logsumexp col2im", _per_input(1)),
    ("var std var_mean std_mean norm linalg_vector_norm", _per_input(2)),
    ("native_batch_norm_backward", _per_input(2)),  # a forward pass sums products by it
    ("batch_norm_update_stats", _per_input(4)),
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
    ("grid_sampler_2d grid_sampler_3d", _bilinear),
    ("cudnn_grid_sampler", _per_output(4)),
    ("_cdist_forward _euclidean_dist", _pairs),
    ("_fft_c2c", _fourier(2.5, 1)),
    ("_fft_r2c", _fourier(1.25, 1, of=0)),
    ("_fft_c2r", _fourier(1.25, 1)),
)
"""Arithmetic that is counted beside the products."""

FREE = frozenset(
    _words(
        # copies and what only moves or makes values
        "clone copy _to_copy contiguous cat stack empty empty_like empty_strided new_empty "
        "new_empty_strided new_zeros new_ones new_full zeros zeros_like ones ones_like full "
        "full_like fill zero arange linspace eye scalar_tensor rand randn rand_like randn_like "
        "randint randperm bernoulli uniform normal native_dropout dropout constant_pad_nd "
        "reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d pad roll flip "
        "rot90 repeat repeat_interleave gather scatter index index_select index_put index_copy "
        "index_fill masked_select take take_along_dim embedding where masked_fill tril triu "
        "diag_embed im2col pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d "
        "nonzero unbind_copy split_copy tril_indices triu_indices lift_fresh lift_fresh_copy "
        "_local_scalar_dense item set resize detach alias _reshape_alias _reshape_copy complex "
        "view_as_real view_as_complex _unsafe_view _unsafe_index _conj real imag fill_diagonal "
        "unfold_copy narrow_copy slice_scatter select_scatter as_strided_scatter unique_dim "
        "_unique2 unsafe_split unsafe_chunk one_hot meshgrid _pin_memory as_strided t transpose "
        "squeeze unsqueeze "
        # comparisons and choices
        "eq ne lt le gt ge isnan isinf isfinite logical_and logical_or logical_not logical_xor "
        "bitwise_and bitwise_or bitwise_not bitwise_xor any all max min amax amin aminmax "
        "maximum minimum fmax fmin argmax argmin topk sort argsort kthvalue median clamp "
        "clamp_min clamp_max clip max_pool2d_with_indices max_pool3d_with_indices max_pool1d "
        "max_pool2d adaptive_max_pool2d adaptive_max_pool3d mkldnn_max_pool2d searchsorted "
        "bucketize equal "
        # activations, signs, roots, exponentials and rounding
        "relu relu6 leaky_relu prelu _prelu_kernel rrelu rrelu_with_noise elu celu selu gelu "
        "silu mish softplus sigmoid log_sigmoid_forward tanh hardtanh hardswish hardsigmoid "
        "hardshrink softshrink threshold neg abs sgn sign heaviside exp exp2 expm1 log log2 "
        "log10 log1p sqrt rsqrt sin cos tan asin acos atan atan2 sinh cosh erf erfc erfinv "
        "floor ceil round trunc frac angle "
    )
)
"""Not arithmetic, or not counted by the definition above."""
