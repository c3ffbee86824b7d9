"""Nyström attention as its authors and others wrote it."""

import torch.nn.functional as F
from torch import Tensor, nn

from foveal.attention.linear.nystrom import Nystrom, segment_means
from foveal.core.errors import FovealError
from foveal.ops.attend import attend, attention_weights
from foveal.originals.calls import OnSequence
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class BatchBound(Nystrom):
    """One bound for all heads of all images, as the published code has it: what one image gives
    depends on the others in its batch."""

    def _bound(self, weights: Tensor) -> Tensor:
        return weights.sum(-2).max()


class Padded(OnSequence):
    """Zeros stand before the tokens until the landmarks divide them, and take part.

    Shape: (B, N, C) → (B, N, C).
    """

    def __init__(self, mechanism: Nystrom):
        super().__init__(mechanism, batch_first=True)
        self.landmarks = mechanism.num_landmarks

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, -x.shape[1] % self.landmarks, 0))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._padded(x))[:, -x.shape[1] :]

    def attention_map(self, x: Tensor) -> Tensor:
        return super().attention_map(self._padded(x))[..., -x.shape[1] :, :]


@original("nystrom", source="lucidrains/nystrom-attention nystrom_attention.py NystromAttention")
def nystrom(
    state: State,
    dim: int,
    dim_head: int = 64,
    heads: int = 8,
    num_landmarks: int = 256,
    pinv_iterations: int = 6,
    residual: bool = True,
    residual_conv_kernel: int = 33,
    eps: float = 1e-8,  # of masked means
    dropout: float = 0.0,
) -> Translation:
    module = BatchBound(
        dim,
        heads,
        dim_head,
        num_landmarks,
        pinv_iterations,
        residual_conv_kernel if residual else 0,
        qkv_bias=False,
        dropout=dropout,
    )
    names = {"to_qkv": "qkv", "to_out.0": "proj", "res_conv": "conv"}
    return Padded(module), {their: f"mechanism.{our}" for their, our in names.items()}


class NystromCore(nn.Module):
    """The mechanism without its projections: queries, keys and values come from outside.

    Shape: three times (B, heads, N, D) → (B, heads, N, D).
    """

    def __init__(self, mechanism: Nystrom, full: bool):
        super().__init__()
        self.mechanism, self.full = mechanism, full
        del mechanism.qkv, mechanism.proj

    def _landmarks(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        means = segment_means(q.shape[2], self.mechanism.num_landmarks, q)
        return means @ q, means @ k

    def forward(self, q: Tensor, k: Tensor | None = None, v: Tensor | None = None) -> Tensor:
        k = q if k is None else k
        v = k if v is None else v
        if not self.full:
            return self.mechanism._attend(q, k, v, *self._landmarks(q, k))
        conv = self.mechanism.conv
        return attend(q, k, v) + (0 if conv is None else conv(v))

    def attention_map(self, q: Tensor, k: Tensor | None = None) -> Tensor:
        k = q if k is None else k
        if self.full:
            return attention_weights(q, k)
        some_q, some_k = self._landmarks(q, k)
        inverse = self.mechanism._between_landmarks(some_q, some_k)
        return attention_weights(q, some_k) @ inverse @ attention_weights(some_q, k)


@original(
    "nystrom_official", source="mlpen/Nystromformer code/attention_nystrom.py NystromAttention"
)
def nystrom_official(
    state: State,
    head_dim: int,
    num_head: int,
    num_landmarks: int,
    seq_len: int,
    conv_kernel_size: int = 0,
    inv_coeff_init_option: str | None = None,
    inv_init_coeff_option: str = "original",
) -> Translation:
    """Its `config` by name. The first of the two names of one option says that there is one, the
    second which: "original" is one bound for the batch, anything else one for each head."""
    if seq_len % num_landmarks:
        raise FovealError(
            f"nystrom_official: num_landmarks={num_landmarks} must divide seq_len={seq_len}"
        )
    one_bound = inv_coeff_init_option is None or inv_init_coeff_option == "original"
    mechanism = (BatchBound if one_bound else Nystrom)(
        num_head * head_dim, num_head, head_dim, num_landmarks, kernel_size=conv_kernel_size
    )
    return NystromCore(mechanism, num_landmarks == seq_len), {"conv": "mechanism.conv"}
