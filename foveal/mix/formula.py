"""The mathematics of a mix, in LaTeX, from its tree."""

from foveal.mix.tree import Call, Parallel, Serial, Value, plain


def formula_of(node: Value, x: str = "x") -> str:
    """What a mix makes of x.

    >>> from foveal.mix.read import read
    >>> print(formula_of(read("eca > coord")))
    \\mathrm{coord}(\\mathrm{eca}(x))
    >>> print(formula_of(read("residual(max(eca | se))")))
    x + \\max\\big(\\mathrm{eca}(x),\\ \\mathrm{se}(x)\\big)
    """
    match node:
        case Serial(parts=parts):
            for part in parts:
                x = formula_of(part, x)
            return x
        case Parallel(branches=branches):
            return _joined("mean", branches, x)
        case Call(word="residual", arguments=(part,)):
            return f"{x} + {formula_of(part, x)}"
        case Call(word="repeat", arguments=(part, times)):
            return rf"\big({formula_of(part, chr(92) + 'cdot')}\big)^{{{times}}}({x})"
        case Call(word="factorised", arguments=parts):
            axes = Call("frames", parts[:1]), Call("time", parts[-1:])
            order = node.option("order")
            time_first = order is not None and plain(order) == ("time", "space")
            return formula_of(Serial(axes[::-1] if time_first else axes), x)
        case Call(word="frames" | "time" | "joint" as word, arguments=(part,)):
            return rf"\mathrm{{{word}}}\big({formula_of(part, x)}\big)"
        case Call(word=word, arguments=(Parallel(branches=branches), *_)):
            return _joined(word, branches, x)
        case Call(word=word, arguments=arguments) if arguments:
            return _joined(word, arguments, x)
        case Call(word=word):
            return rf"\mathrm{{{_escaped(word)}}}({x})"
    return _escaped(str(node))


def _joined(word: str, branches: tuple[Value, ...], x: str) -> str:
    name = r"\max" if word == "max" else rf"\mathrm{{{_escaped(word)}}}"
    inner = r",\ ".join(formula_of(branch, x) for branch in branches)
    return rf"{name}\big({inner}\big)"


def _escaped(word: str) -> str:
    return word.replace("_", r"\_")
