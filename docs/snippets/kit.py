from torch import nn

from foveal import Map
from foveal.testing import check_attention


class Gate(nn.Module):
    """Gate each value by a convolution of the map."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def attention_map(self, x: Map) -> Map:
        return self.conv(x).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)


for result in check_attention(Gate, laws=["shape", "learning", "attention_map"]):
    print(result.check, result.status)

# prints: shape passed
# prints: learning passed
# prints: attention_map passed
