"""Linformer's self-attention as others wrote it."""

from torch import Tensor, nn

from foveal.attention.linear.linformer import Linformer
from foveal.core.errors import FovealError
from foveal.core.types import Tokens
from foveal.ops.attend import attention_weights
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class OnSequences(nn.Module):
    """Linformer over sequences, of which shorter ones use the first of the learned weights.

    Shape: (B, N, C) → (B, N, C).
    """

    def __init__(self, mechanism: Linformer):
        super().__init__()
        self.mechanism = mechanism

    def _mixing(self, tokens: Tokens) -> list[Tensor]:
        tables, number = [self.mechanism.of_keys, self.mechanism.of_values], tokens.shape[1]
        if number > self.mechanism.rows:
            raise FovealError(
                f"{number} tokens, where the weights are for {self.mechanism.rows} at most"
            )
        return [table[:, :number, 0] for table in tables if table is not None]

    def attention_map(self, x: Tokens, context: Tokens | None = None) -> Tensor:
        tokens = x if context is None else context
        q, k, _ = self.mechanism._project(x, tokens, self._mixing(tokens))
        return attention_weights(q, k)

    def forward(self, x: Tokens, context: Tokens | None = None) -> Tokens:
        tokens = x if context is None else context
        return self.mechanism._attend(x, tokens, self._mixing(tokens))


@original("linformer", source="lucidrains/linformer LinformerSelfAttention")
def linformer(
    state: State,
    dim: int,
    seq_len: int,
    k: int = 256,
    heads: int = 8,
    dim_head: int | None = None,
    one_kv_head: bool = False,
    share_kv: bool = False,
    dropout: float = 0.0,
) -> Translation:
    for name in ("proj_k",) if share_kv else ("proj_k", "proj_v"):
        state[name] = state[name].mT[..., None]
    grid = seq_len, 1
    module = Linformer(dim, heads, k, grid, dim_head, one_kv_head, share_kv, dropout)
    return OnSequences(module), {
        "to_q": "mechanism.query",
        "to_k": "mechanism.key",
        "to_v": "mechanism.value",
        "to_out": "mechanism.proj",
        "proj_k": "mechanism.of_keys",
        "proj_v": "mechanism.of_values",
    }
