"""Mixes drawn at random from the grammar, over the mechanisms that there are."""

from random import Random

from foveal import attention_info, list_attentions

OPTIONS = {"reduction": "8", "num_heads": "4", "kernel_size": "5", "bias": "true"}
"""Values that most mechanisms with such an option take."""

TAKE_THEM = (
    *("se", "cbam", "bam", "scse", "coord", "eca", "mhsa", "ca_channel", "sa_spatial", "srm"),
    *("danet", "gc", "sra"),
)
"""Mechanisms of which options are varied."""

WHEN_SMALL = tuple(name for name in TAKE_THEM if name != "sra")
"""What stands in the words for video and for scales: mechanisms that have something to do in the
courses of two frames of the kit's videos, and in maps of half the kit's size, where `sra` makes one
key of all positions."""

PICKERS = ("biformer", "dhsa", "sparse_attn")
"""Mechanisms that sort or pick by rank, and so are not continuous: where another mechanism comes
before them, a rounding of its result can change what they pick, and no tolerance holds."""

AVERAGES = ("linear_elu", "temporal")
"""Mechanisms that take nearly the same from everywhere and add nothing to it: several in a row
would leave all positions, or both of two frames, alike to the last digit, and nothing to see."""


def draw(seed: int) -> str:
    """A mix of two to five mechanisms; the same seed gives the same one.

    >>> draw(1) == draw(1)
    True
    """
    random = Random(seed)
    kinds = ["map"] * 8 + ["tokens", "video"]
    return _Drawer(random, random.choice(kinds)).mix(random.randint(2, 5))


class _Drawer:
    def __init__(self, random: Random, layout: str):
        self.random = random
        layouts = {"map": ("map", "map", "map", "tokens"), "tokens": ("tokens",)}
        self.layouts = layouts.get(layout, ("video", "map"))
        self.gates = [name for name in list_attentions(layout="map") if name in TAKE_THEM[:7]]

    def mix(self, leaves: int) -> str:
        if leaves <= 1:
            return self.leaf()
        return self.random.choice(
            [self.serial, self.serial, self.parallel, self.joined, self.joined, self.wrapped]
        )(leaves)

    def leaf(self) -> str:
        if "video" in self.layouts and self.random.random() < 0.5:
            return self.in_time()
        while True:
            layout = self.random.choice(self.layouts)
            name = self.random.choice(list_attentions(layout=layout, drop_in=True))
            card = attention_info(name)
            if card.limits or name in PICKERS:
                continue
            if name in AVERAGES:
                return f"residual({name})"
            taken = [o for o in OPTIONS if o in card.options and name in TAKE_THEM]
            if taken and self.random.random() < 0.5:
                option = self.random.choice(taken)
                return f"{name}({option}={OPTIONS[option]})"
            return name

    def in_time(self) -> str:
        """A word for video."""
        word = self.random.choice(["frames", "time", "joint", "factorised"])
        if word == "factorised" and self.random.random() < 0.5:
            return f"factorised({self.random.choice(WHEN_SMALL)}, {self.random.choice(WHEN_SMALL)})"
        sign = self.random.choice(["", " > ", " | "])
        return f"{word}({sign.join(self.random.sample(WHEN_SMALL, 2 if sign else 1))})"

    def split(self, leaves: int, parts: int) -> list[str]:
        """So many mixes, of so many mechanisms in all."""
        sizes = [1] * parts
        for _ in range(leaves - parts):
            sizes[self.random.randrange(parts)] += 1
        return [f"({m})" if size > 1 else m for size in sizes for m in [self.mix(size)]]

    def serial(self, leaves: int) -> str:
        return " > ".join(self.split(leaves, self.random.randint(2, min(3, leaves))))

    def parallel(self, leaves: int) -> str:
        return " | ".join(self.split(leaves, self.random.randint(2, min(3, leaves))))

    def joined(self, leaves: int) -> str:
        word = self.random.choice(["sum", "mean", "max", "concat", "gate", "select", "product"])
        if word == "product" and "map" in self.layouts:
            return f"product({' | '.join(self.random.sample(self.gates, 2))})"
        branches = self.split(leaves, self.random.randint(2, min(3, leaves)))
        if word in ("select", "product"):
            return f"select({' | '.join(branches)})"
        return f"{word}({' | '.join(branches)}{self.weights(len(branches))})"

    def weights(self, branches: int) -> str:
        temperature = self.random.choice(["", "temperature=0.5", "temperature=2"])
        word = self.random.choice(
            ["", "fixed", "preset", "learned", "dynamic", "quality", "feedback"]
        )
        own = {
            "fixed": ", ".join(str(self.random.randint(1, 5)) for _ in range(branches)),
            "preset": "detection",
            "learned": self.random.choice(["softmax", "sigmoid"]),
            "dynamic": f"per={self.random.choice(['image', 'position'])}",
            "quality": f"per={self.random.choice(['image', 'position'])}",
        }.get(word, "")
        inner = ", ".join(one for one in (own, temperature) if one)
        return f", weights={word}({inner})" if word else ""

    def wrapped(self, leaves: int) -> str:
        words = ["residual", "repeat", "shared", "hierarchy"]
        if "map" in self.layouts and "video" not in self.layouts:
            words += ["pyramid", "wavelet", "coarse_to_fine"]
        word = self.random.choice(words)
        if word in ("pyramid", "wavelet"):
            return self.scaled(word, leaves)
        if word == "coarse_to_fine":
            return f"coarse_to_fine({', '.join(self.random.sample(WHEN_SMALL, 2))}, window_size=3)"
        if word == "residual":
            return f"residual({self.mix(leaves)})"
        if word == "hierarchy":
            levels = self.split(leaves, 2)
            return f"hierarchy({', '.join(levels)}{self.weights(2)})"
        shared = ", shared=true" if word == "shared" else ""
        return f"repeat({self.mix(leaves - 1)}, 2{shared})"

    def scaled(self, word: str, leaves: int) -> str:
        levels = self.random.randint(1, 2)
        own = {
            "pyramid": f"levels={levels + 1}, kind={self.random.choice(['gaussian', 'laplacian'])}",
            "wavelet": f"levels={levels}, wavelet={self.random.choice(['haar', 'db2'])}",
        }[word]
        join = self.random.choice(["mean", "sum", "max", "concat", "gate", "select"])
        scales = levels + 1 if word == "pyramid" else 3 * levels + 1
        weights = "" if join == "select" else self.weights(scales)
        inner = " > ".join(self.random.sample(WHEN_SMALL, min(leaves - 1, 2)))
        return f"{word}({inner}, {own}, join={join}{weights})"
