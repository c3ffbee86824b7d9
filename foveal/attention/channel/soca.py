"""Second-order channel attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.covariance import covariance, matrix_root
from foveal.ops.width import hidden_width


@register_attention("soca", paper="Dai et al., Second-order Attention Network (SAN), CVPR 2019")
class SOCA(nn.Module):
    r"""Gate each channel by a bottleneck over the mean of its row in the root of the covariances.

    $$y = x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1 z + b_1) + b_2\big), \quad
    z_c = \frac1C \sum_{c'} \big(\Sigma^{1/2}\big)_{c c'}, \quad \Sigma = \mathrm{cov}_{hw}\,x$$

    SE with the mean replaced by a second-order statistic. The root evens out the eigenvalues of the
    covariance matrix, of which the largest would else drown the others; it is approached with
    products of matrices, by Newton and Schulz.

    Placed: at the end of each group of residual blocks of SAN, a super-resolution network.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden + hidden + C.
    Multiply-adds: C·H·W + (C + 2)·C·H·W + max(3·iterations − 3, 1)·C³ + (3·iterations + 4)·C²
    + 2·C·hidden.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        iterations: steps towards the root.

    Raises:
        FovealError: for a reduction, width or number of iterations below 1.

    Departs: Covariances are of the whole map, where the authors' code takes the 1000 × 1000
    positions in the middle of a larger one; and they are had from the map with its means taken
    off, not from a matrix of every pair of positions.
    """

    def __init__(
        self, channels: int, reduction: int = 8, hidden: int | None = None, iterations: int = 5
    ):
        super().__init__()
        if iterations < 1:
            raise FovealError(f"iterations={iterations} must be at least 1")
        self.iterations = iterations
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.squeeze = nn.Linear(channels, self.hidden)
        self.excite = nn.Linear(self.hidden, channels)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        z = matrix_root(covariance(x), self.iterations).mean(1).to(x.dtype)
        return self.excite(self.squeeze(z).relu()).sigmoid()[..., None, None]

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
