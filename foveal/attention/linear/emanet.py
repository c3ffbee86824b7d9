"""Expectation-maximisation attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm2d


def _unit(bases: Float[Tensor, "b c k"]) -> Float[Tensor, "b c k"]:
    return bases / (1e-6 + torch.linalg.vector_norm(bases, dim=1, keepdim=True))


@register_attention("emanet", paper="Li et al., EMANet, ICCV 2019", arxiv="1907.13426")
class EMAttention(nn.Module):
    r"""Describe the map by a few bases, found by expectation and maximisation in turn.

    $$y = \mathrm{ReLU}\big(x + \mathrm{BN}(W_2\,\mathrm{ReLU}(\mu\,z^\top))\big), \quad
    z = \mathrm{softmax}_k\big((W_1 x)^\top \mu\big), \quad
    \mu = \mathrm{unit}\Big(W_1 x\; z \big/ \textstyle\sum_n z\Big)$$

    $z$ and $\mu$ are computed in turn, `num_stages` times, from bases that a moving average over
    images has left. Each position is then a mix of the bases: a low-rank copy of the map, without
    its noise. Double attention gathers descriptors once and by layers of its own; here the same
    bases both gather and give.

    Placed: once, on the narrowed map that ends the backbone of a segmentation network.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C² + 3·C.
    Multiply-adds: N·(2·C² + C·num_tokens + 2·C) + num_stages·num_tokens·(N·(2·C + 4) + 4·C).

    Args:
        channels: channels C of the feature map.
        num_tokens: bases K.
        num_stages: how often the bases are improved.
        momentum: how much the moving average keeps at each step of training.
        act: activation of the result, by name; `"identity"` for none.

    Raises:
        FovealError: if a number is not positive, the momentum not in [0, 1], or the activation
            unknown.

    Departs: The moving average is taken in the forward pass in training, like the statistics of a
    batch normalisation, where the authors' training script takes it after each step. Gradients flow
    through the stages; the authors' code cuts them, so that its first convolution stays as it was
    born. The bases of evaluation are fixed, so that the images do not depend on each other.
    """

    bases: Tensor

    def __init__(
        self,
        channels: int,
        num_tokens: int = 64,
        num_stages: int = 3,
        momentum: float = 0.9,
        act: str = "relu",
    ):
        super().__init__()
        if num_tokens < 1 or num_stages < 1:
            raise FovealError(f"num_tokens={num_tokens}, num_stages={num_stages} must be positive")
        if not 0 <= momentum <= 1:
            raise FovealError(f"momentum={momentum} must be in [0, 1]")
        self.num_tokens, self.num_stages, self.momentum = num_tokens, num_stages, momentum
        self.before = nn.Conv2d(channels, channels, 1)
        self.after = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels)
        )
        self.act = activation(act)
        self.register_buffer("bases", _unit(torch.randn(1, channels, num_tokens)))

    def _solve(self, x: Map) -> tuple[Tensor, Tensor]:
        """The shares of the bases in each position, (B, N, K), and the bases, (B, C, K)."""
        tokens = self.before(x).flatten(2)
        bases = self.bases.clone()  # a copy, for the moving average writes in place
        for _ in range(self.num_stages):
            shares = (tokens.mT @ bases).softmax(2)
            bases = _unit(tokens @ (shares / (1e-6 + shares.sum(1, keepdim=True))))
        return shares, bases  # pyright: ignore[reportPossiblyUnboundVariable]

    def attention_map(self, x: Map) -> Float[Tensor, "b n k"]:
        """How much of each basis a position is made of; rows sum to 1."""
        return self._solve(x)[0]

    def forward(self, x: Map) -> Map:
        shares, bases = self._solve(x)
        if self.training:
            with torch.no_grad():
                found = bases.mean(0, keepdim=True).to(self.bases.dtype)
                self.bases.lerp_(found, 1 - self.momentum)
        mixed = F.relu(bases @ shares.mT).unflatten(2, x.shape[2:])
        return self.act(x + self.after(mixed))
