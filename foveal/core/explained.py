"""What the values of an attention map mean: the range that they lie in."""

import re

from torch import nn

Range = tuple[float, float]


def attention_range(module: nn.Module) -> Range | None:
    """The range of a module's `attention_map`, if it states one: in the docstring of that method,
    or, where it depends on what the module is made of, by a method `attention_range`. An adapter
    speaks for the mechanism in it.

    >>> from foveal.core.registry import create_attention
    >>> attention_range(create_attention("eca", 8))
    (0.0, 1.0)
    """
    if hasattr(module, "attention_range"):
        return module.attention_range()  # pyright: ignore[reportCallIssue]
    stated = stated_range(getattr(type(module), "attention_map", None).__doc__)
    inner = getattr(module, "mechanism", None)
    return attention_range(inner) if stated is None and isinstance(inner, nn.Module) else stated


def stated_range(doc: str | None) -> Range | None:
    """The range that a docstring states.

    >>> stated_range("One weight per channel, in (-1, 1).")
    (-1.0, 1.0)
    """
    found = re.search(r"\bin [(\[]([-\d.∞]+), ([-\d.∞]+)[)\]]", doc or "")
    if not found:
        return None
    low, high = (float(number.replace("∞", "inf")) for number in found.groups())
    return low, high
