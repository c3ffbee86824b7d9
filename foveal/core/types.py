"""The layouts that mechanisms speak.

A mechanism's `forward` is annotated with them, and that annotation is the declaration: the registry
reads it, checks inputs against it, and picks the adapter that insertion needs. Most mechanisms take
one map, or one set of tokens, and return its shape; such a one can stand anywhere in a model. What
needs a second input, or makes something else of the first, says so in the same way:

    def forward(self, x: Tokens, context: Tokens) -> Tokens: ...
    def forward(self, x: Map) -> Scores: ...
"""

from jaxtyping import Float
from torch import Tensor

Map = Float[Tensor, "b c h w"]
"""A feature map: batch, channels, height, width."""

Tokens = Float[Tensor, "b n c"]
"""A set of tokens: batch, number, channels. Their order carries no meaning."""

Video = Float[Tensor, "b t c h w"]
"""A feature map for each frame: batch, time, channels, height, width."""

Maps = list[Float[Tensor, "b c _h _w"]]
"""Feature maps of the same pictures in several sizes, as many channels in each."""

Points = Float[Tensor, "b n 2"]
"""A place for each token: batch, number, and from 0 to 1 how far right and how far down."""

Scores = Float[Tensor, "b k"]
"""A number for each class: batch, classes."""
