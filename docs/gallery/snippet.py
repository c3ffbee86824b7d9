"""The code on a mechanism's page, run before it is shown."""

import contextlib
import io
import warnings

import torch

from foveal.core.card import Card

_INPUTS = {
    "map": "torch.rand(2, {c}, 14, 14)",
    "tokens": "torch.rand(2, 196, {c})",
    "video": "torch.rand(1, 8, {c}, 14, 14)",
    "maps": "[torch.rand(2, {c}, size, size) for size in {sizes}]",
    "points": "torch.rand(2, 196, 2)",
}
CHANNELS = 256


class SnippetError(Exception):
    """A page's code does not run."""


def snippet(card: Card) -> str:
    """Code that builds a mechanism, calls it and, where it can, inserts it into a model.

    What a line prints stands behind it, as it was printed.

    Raises:
        SnippetError: if the code does not run.
    """
    return _run(card.name, _code(card))


def _code(card: Card) -> str:
    drop_in = card.drop_in and card.layout in ("map", "tokens")
    lines = ["import timm"] if drop_in else []
    lines += ["import torch", "", "import foveal", ""]
    lines.append(f'attention = foveal.create_attention("{card.name}", channels={CHANNELS})')
    with torch.device("meta"):
        module = card.cls(CHANNELS)
    sizes = (28, 14, 7, 4, 2)[: getattr(module, "num_levels", 2)]
    for name, layout in card.inputs.items():
        width = getattr(module, f"{name}_channels", CHANNELS)
        value = _INPUTS[layout].replace("{c}", str(width)).replace("{sizes}", str(sizes))
        lines.append(f"{name} = {value}")
    call = ", ".join(card.inputs)
    lines.append(f"print(attention({call}).shape)")
    if hasattr(card.cls, "attention_map"):
        lines.append(f"print(attention.attention_map({call}).shape)")
    if drop_in:
        lines += [
            "",
            'model = timm.create_model("resnet18").eval()',
            "images = torch.rand(1, 3, 224, 224)",
            f'report = foveal.insert(model, "{card.name}", where="layer3.1", example_input=images)',
            "print(report.places[0].channels, report.parameters_added)",
        ]
    return "\n".join(lines) + "\n"


def _run(name: str, code: str) -> str:
    """The code, with what each `print` printed behind it."""
    shown = []
    scope: dict[str, object] = {"__name__": f"snippet_{name}"}
    torch.manual_seed(0)
    for line in code.splitlines():
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(line, f"<snippet of {name}>", "exec"), scope)
        except Exception as error:
            raise SnippetError(
                f"{name}: {line!r} fails: {type(error).__name__}: {error}"
            ) from error
        said = printed.getvalue().strip()
        shown.append(f"{line}  # prints: {said}" if said else line)
    return "\n".join(shown) + "\n"
