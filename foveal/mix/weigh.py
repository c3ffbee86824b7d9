"""What decides how much each branch of a mix counts: weightings.

A weighting scores the branches; a softmax over the scores, divided by a temperature, makes weights
that are not negative and sum to 1. The temperature is a buffer: it is saved, and can be annealed.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.mix.axes import Pointwise, channel_axis, means, per_channel, per_image, sizes
from foveal.ops.width import hidden_width


class Weighting(nn.Module):
    """Weighs the branches.

    Args:
        channels: channels C of the input.
        branches: how many there are.
        temperature: what scores are divided by: the higher, the more even the weights.

    Raises:
        FovealError: unless the temperature is positive.
    """

    needs_outputs: ClassVar[bool] = False
    """Whether the branches' outputs are needed, and not the input alone."""
    constant: ClassVar[bool] = False
    """Whether the weights are the user's own numbers, which nothing moves."""

    temperature: Tensor

    def __init__(self, channels: int, branches: int, *, temperature: float = 1.0):
        super().__init__()
        check_temperature(temperature)
        self.branches = branches
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """Scores of the branches along axis 1, of the rank of the stacked outputs."""
        raise NotImplementedError

    def forward(self, x: Tensor, outputs: Sequence[Tensor] = ()) -> Tensor:
        """The weights, broadcastable to the outputs stacked along axis 1; they sum to 1 there.

        Args:
            x: the input: a map (B, C, H, W), tokens (B, N, C) or a video (B, T, C, H, W).
            outputs: what the branches made of it, where `needs_outputs` is set.
        """
        return (self.logits(x, outputs) / self.temperature).softmax(1)

    def alike(self, scores: Tensor, x: Tensor) -> Tensor:
        """Scores (K,), the same for all images and positions of x."""
        return per_image(scores[None], x)


class Fixed(Weighting):
    """The user's own numbers, divided by their sum.

    Parameters: 0. Multiply-adds: 0.

    Args:
        shares: one for each branch, none negative.
    """

    constant = True
    log_shares: Tensor

    def __init__(self, channels: int, branches: int, *shares: float, temperature: float = 1.0):
        super().__init__(channels, branches, temperature=temperature)
        check_shares(shares, branches)
        self.shares = tuple(share / sum(shares) for share in shares)
        logs = [math.log(share) if share else -math.inf for share in self.shares]
        self.register_buffer("log_shares", torch.tensor(logs), persistent=False)

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        return self.alike(self.log_shares.to(x.dtype), x)


LEANINGS = {"classification": "channel", "segmentation": "spatial", "detection": None}
"""For each task the kind of branch that counts most."""


class Preset(Fixed):
    """Numbers that suit a task: classification leans on branches that weigh channels, segmentation
    on those that weigh positions, detection on neither.

    The branches that the task leans on count three times as much as those of the other kind, and
    branches of both kinds twice as much.

    Parameters: 0. Multiply-adds: 0.

    Args:
        task: `"classification"`, `"segmentation"` or `"detection"`.
        kinds: of each branch `"channel"`, `"spatial"` or `"both"`.
    """

    def __init__(
        self,
        channels: int,
        branches: int,
        task: str,
        *,
        kinds: Sequence[str],
        temperature: float = 1.0,
    ):
        shares = preset_shares(task, kinds)
        super().__init__(channels, branches, *shares, temperature=temperature)
        self.task = task


class Learned(Weighting):
    """A learned number for each branch, the same for all images.

    Parameters: branches. Multiply-adds: 0.

    Args:
        by: `"softmax"`: branches compete; `"sigmoid"`: each has a gate of its own, and the gates
            are divided by their sum.
    """

    def __init__(
        self, channels: int, branches: int, by: str = "softmax", *, temperature: float = 1.0
    ):
        super().__init__(channels, branches, temperature=temperature)
        if by not in ("softmax", "sigmoid"):
            raise FovealError(f"learned({by}) must be learned(softmax) or learned(sigmoid)")
        self.by = by
        self.scores = nn.Parameter(torch.zeros(branches))

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        return self.alike(self.scores, x)

    def forward(self, x: Tensor, outputs: Sequence[Tensor] = ()) -> Tensor:
        if self.by == "softmax":
            return super().forward(x, outputs)
        # σ(s) / Σ σ(s) is the softmax of log σ(s), which never divides by nothing
        return F.logsigmoid(self.logits(x, outputs) / self.temperature).softmax(1)


class Dynamic(Weighting):
    """Weights from the input, for each image, or for each position of each image.

    A network of one hidden layer sees every channel's mean and mean size over the whole image and,
    for weights per position, the values at the position itself. Its last layer is born 0: at first
    all branches count the same.

    Parameters: 2·C·hidden + hidden + at_positions·C·hidden + branches·hidden + branches.
    Multiply-adds: 3·C·H·W + 2·C·hidden + C + hidden
    + (1 − at_positions)·branches·(hidden + 3)
    + at_positions·((C + 1 + branches)·hidden + 3·branches)·H·W.

    Args:
        per: `"image"` or `"position"`.
        reduction: r, by which the hidden layer is narrower, down to 8.
    """

    def __init__(
        self,
        channels: int,
        branches: int,
        *,
        per: str = "image",
        reduction: int = 16,
        temperature: float = 1.0,
    ):
        super().__init__(channels, branches, temperature=temperature)
        if per not in ("image", "position"):
            raise FovealError(f"per={per!r} must be 'image' or 'position'")
        self.per, self.at_positions = per, per == "position"
        self.hidden = hidden_width(channels, reduction, least=8)
        self.of_means = nn.Linear(channels, self.hidden)
        self.of_sizes = nn.Linear(channels, self.hidden, bias=False)
        if self.at_positions:
            self.of_values = Pointwise(channels, self.hidden, bias=False)
        self.score = Pointwise(self.hidden, branches)
        nn.init.zeros_(self.score.layer.weight)
        nn.init.zeros_(self.score.layer.bias)

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        hidden = self.of_means(means(x)) + self.of_sizes(sizes(x))
        if not self.at_positions:
            return per_image(self.score.layer(hidden.relu()), x)
        hidden = (self.of_values(x) + per_channel(hidden, x)).relu()
        axis = channel_axis(x)
        return self.score(hidden).movedim(axis, 1).unsqueeze(axis + 1)


class Quality(Dynamic):
    """Weights from the input, multiplied by a quality score of each branch, summing to 1 again.

    The quality of a branch, in (0, 1), is judged by one linear layer, the same for all, from each
    channel's mean and mean size in the branch's output.

    Parameters: 2·C·hidden + hidden + at_positions·C·hidden + branches·hidden + branches + 2·C + 1.
    Multiply-adds: (1 + branches)·(3·C·H·W + C) + 2·C·hidden + hidden
    + (1 − at_positions)·branches·(hidden + 4)
    + at_positions·((C + 1 + branches)·hidden + 4·branches)·H·W + 2·branches·C.

    Args:
        per, reduction: as for `Dynamic`.
    """

    needs_outputs = True

    def __init__(
        self,
        channels: int,
        branches: int,
        *,
        per: str = "image",
        reduction: int = 16,
        temperature: float = 1.0,
    ):
        super().__init__(channels, branches, per=per, reduction=reduction, temperature=temperature)
        self.judge = nn.Linear(2 * channels, 1)

    def forward(self, x: Tensor, outputs: Sequence[Tensor] = ()) -> Tensor:
        shape = x.shape[0], x.shape[channel_axis(x)]  # one channel of scores may stand for all
        looks = [[of(y).expand(shape) for of in (means, sizes)] for y in outputs]
        seen = torch.stack([torch.cat(look, 1) for look in looks], 1)
        quality = per_image(F.logsigmoid(self.judge(seen))[..., 0], x)
        return (self.logits(x, outputs) / self.temperature + quality).softmax(1)


def anneal(model: nn.Module, temperature: float) -> int:
    """Set the temperature of every weighting inside a model, and say how many there are.

    Raises:
        FovealError: unless the temperature is positive.

    >>> weighting = Learned(8, 3)
    >>> anneal(nn.Sequential(weighting), 0.5), weighting.temperature.item()
    (1, 0.5)
    """
    check_temperature(temperature)
    found = [module for module in model.modules() if isinstance(module, Weighting)]
    for weighting in found:
        weighting.temperature.fill_(temperature)
    return len(found)


def check_temperature(temperature: float) -> None:
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 < temperature < math.inf:
        raise FovealError(f"temperature={temperature!r} must be a positive number")


def check_shares(shares: Sequence[float], branches: int) -> None:
    """Refuse numbers that cannot be the branches' weights."""
    if len(shares) != branches:
        raise FovealError(
            f"fixed(…) has {len(shares)} number{'s' * (len(shares) != 1)} for {branches} branches"
        )
    real = [s for s in shares if isinstance(s, int | float) and not isinstance(s, bool)]
    if len(real) < len(shares) or not all(0 <= s < math.inf for s in real) or not sum(real) > 0:
        raise FovealError(
            f"fixed({', '.join(map(str, shares))}) must be numbers, none negative and not all 0"
        )


def preset_shares(task: str, kinds: Sequence[str]) -> list[float]:
    """How much each branch counts for a task.

    >>> preset_shares("classification", ["channel", "spatial"])
    [3, 1]
    """
    if task not in LEANINGS:
        raise FovealError(
            f"there is no preset for {task!r}{did_you_mean(str(task), LEANINGS)} "
            f"There is: {', '.join(LEANINGS)}"
        )
    liked = LEANINGS[task]
    if liked is None:
        return [1] * len(kinds)
    return [{liked: 3, "both": 2}.get(kind, 1) for kind in kinds]


WEIGHTINGS: dict[str, type[Weighting]] = {
    "fixed": Fixed,
    "preset": Preset,
    "learned": Learned,
    "dynamic": Dynamic,
    "quality": Quality,
}
"""By the word that the notation has for each."""
