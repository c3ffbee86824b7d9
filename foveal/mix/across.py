"""What may stand between two modalities: one mechanism that takes a second input."""

from torch import nn

from foveal.core.card import Card
from foveal.core.registry import create_attention
from foveal.mix.check import Checked
from foveal.mix.read import read
from foveal.mix.tree import Call, plain


class Across(Checked):
    """The notation of one mechanism with two inputs, both tokens or both maps, and its options.

    Raises:
        NotationError: pointing at what is unknown, or is no such mechanism.

    >>> Across("cross_attention(num_heads=4)").call.word
    'cross_attention'
    """

    def __init__(self, notation: str):
        from foveal.mix.words import WORDS

        tree = read(notation)
        self.tree, self.notation = tree, notation
        if not isinstance(tree, Call) or tree.word in WORDS:
            told = "one mechanism must stand here, such as cross_attention(num_heads=4)"
            raise self.fault(told, tree.span)
        self.call = tree
        super().__init__(tree, notation)
        self.mechanism_card = self.card(tree)

    def suits(self, call: Call, card: Card) -> None:
        layouts = list(card.inputs.values())
        if layouts not in (["tokens"] * 2, ["map"] * 2) or card.output != layouts[0]:
            told = f"{call.word} takes {' and '.join(layouts)}; what joins two modalities takes two"
            raise self.fault(f"{told} sets of tokens or two maps, as cross_attention does", call.at)

    @property
    def adds(self) -> bool:
        """Whether what it returns is added to what asks; a fusion returns both together."""
        return self.mechanism_card.family != "fusion"

    @property
    def of_maps(self) -> bool:
        """Whether it takes maps, and not tokens."""
        return self.mechanism_card.layout == "map"

    def build(self, channels: int, others: int) -> nn.Module:
        """The mechanism for something of `channels` that asks something of `others`."""
        options = {option.name: plain(option.value) for option in self.call.options}
        other = list(self.mechanism_card.inputs)[1]
        width = f"{other}_channels"
        if width in options:
            span = next(o.span for o in self.call.options if o.name == width)
            raise self.fault(f"{width} is known from the modalities: leave it out", span)
        if width in self.mechanism_card.options:
            options[width] = others
        elif channels != others:
            told = f"{self.call.word} takes two inputs of as many channels, not {channels} and "
            raise self.fault(f"{told}{others}", self.call.at)
        try:
            return create_attention(self.call.word, channels, **options)
        except Exception as error:  # whatever a value brings about, the place of it is known
            raise self.fault(str(error), self.call.span) from error
