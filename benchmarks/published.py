"""Build the networks of published papers and write docs/published.md, which compares their sizes.

    python benchmarks/published.py [--check] [NAME ...]

With `--check` nothing is written, and the page that is there must say what is found. With names
(a part of each will do) only those networks are built, and their lines printed.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from counting import count  # noqa: E402  # beside this file
from hosts import make_host  # noqa: E402

import foveal  # noqa: E402

PAGE = FOLDER.parent / "docs/published.md"
UNITS = {"decimal": 1000, "binary": 1024}
LETTERS = {"M": 2, "G": 3}


@dataclass
class Source:
    """A table of a paper."""

    paper: str
    read: str
    unit: str
    rule: str
    note: str = ""


@dataclass
class Network:
    """A network of a paper, and how it is built here."""

    name: str
    source: Source
    host: str
    insert: list[dict[str, Any]]
    parameters: str
    flops: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    prepare: list[str] = field(default_factory=list)
    why: str = ""

    def build(self) -> tuple[nn.Module, int]:
        """The network on the meta device, and its parameters without those of replaced layers."""
        library, name = self.host.split()
        model = make_host(library, name, self.options, self.prepare)
        replaced: set[nn.Parameter] = set()
        for wanted in self.insert:
            report = foveal.insert(
                model,
                wanted["attention"],
                where=wanted["where"],
                position=wanted["position"],
                options=wanted.get("options"),
                init="paper",
                example_input=torch.rand(1, 3, 32, 32),
            )
            for place in report.places if wanted["position"] == "replace" else ():
                own = set(model.get_submodule(place.module).parameters())
                replaced |= set(model.get_submodule(place.path).parameters()) - own
        parameters = sum(p.numel() for p in model.parameters() if p not in replaced)
        return model.to("meta"), parameters


@dataclass
class Row:
    """A line of the table."""

    network: Network
    parameters: str
    flops: str

    @property
    def differs(self) -> list[str]:
        """Which figures are not the paper's."""
        pairs = {
            "parameters": (self.parameters, self.network.parameters),
            "FLOPs": (self.flops, self.network.flops),
        }
        return [name for name, (ours, theirs) in pairs.items() if ours != theirs]

    def markdown(self) -> str:
        n = self.network
        verdict = f"explained: {', '.join(self.differs)}" if self.differs else "matched"
        cells = [
            n.name.replace("*", r"\*"),
            n.parameters,
            self.parameters,
            difference(n.parameters, self.parameters),
            n.flops or "–",
            self.flops or "–",
            difference(n.flops, self.flops),
            verdict,
        ]
        return f"| {' | '.join(cells)} |"


def read() -> list[Network]:
    """All networks of published.yaml."""
    data = yaml.safe_load((FOLDER / "published.yaml").read_text())
    sources = {name: Source(**values) for name, values in data["sources"].items()}
    return [Network(**n | {"source": sources[n["source"]]}) for n in data["networks"]]


def in_words_of(figure: str, value: int, unit: str) -> str:
    """A number in the unit, and to the digits, of a printed figure.

    >>> in_words_of("24.37M", 25_557_110, "binary"), in_words_of("300M", 301_234_567, "decimal")
    ('24.37M', '300M')
    """
    digits, letter = figure[:-1], figure[-1]
    scaled = value / UNITS[unit] ** LETTERS[letter]
    decimals = len(digits.partition(".")[2])
    if not decimals and digits.endswith("0"):  # printed to tens
        decimals = -1
    return f"{round(scaled, decimals):.{max(decimals, 0)}f}{letter}"


def difference(theirs: str, ours: str) -> str:
    """Ours less theirs, to their digits; nothing where they agree.

    >>> difference("3.86G", "3.87G"), difference("3.86G", "3.86G")
    ('+0.01G', '')
    """
    if theirs == ours:
        return ""
    decimals = len(theirs[:-1].partition(".")[2])
    return f"{float(ours[:-1]) - float(theirs[:-1]):+.{decimals}f}{theirs[-1]}".replace("-", "−")


def row(network: Network, flops: bool = True) -> Row:
    """Build and count; without `flops` the parameters only, which is quicker."""
    model, parameters = network.build()
    unit = network.source.unit
    ours = in_words_of(network.parameters, parameters, unit)
    if not (flops and network.flops):
        return Row(network, ours, "")
    counted = count(model, network.source.rule)
    return Row(network, ours, in_words_of(network.flops, counted, unit))


def linked(text: str) -> str:
    """Repositories as links.

    >>> linked("README of a/b at c")
    'README of [a/b](https://github.com/a/b) at c'
    """
    return re.sub(r"(?<=of )([\w-]+/[\w-]+)", r"[\1](https://github.com/\1)", text)


def page(rows: Iterable[Row]) -> str:
    """docs/published.md."""
    rows = list(rows)
    with_flops = [r for r in rows if r.network.flops]
    numbers = {
        "total": len(rows),
        "parameters": sum("parameters" not in r.differs for r in rows),
        "printed": len(with_flops),
        "flops": sum("FLOPs" not in r.differs for r in with_flops),
    }
    parts = [INTRODUCTION.format(**numbers).strip(), ""]
    parts += [HEAD, "|---|---|---|---|---|---|---|---|", *(r.markdown() for r in rows), ""]
    parts += ["## Where the figures are from", ""]
    for source in dict.fromkeys(id(r.network.source) for r in rows):
        of = [r for r in rows if id(r.network.source) == source]
        s = of[0].network.source
        names = ", ".join(r.network.name.replace("*", r"\*") for r in of)
        unit = {"decimal": "decimal units", "binary": "units of 1024"}[s.unit]
        where = f"{linked(s.read)}; {unit}; FLOPs by the rule *{s.rule}*."
        parts += [f"**{s.paper}.** {where} {s.note}".strip()]
        parts += [f"Networks: {names}.", ""]
    parts += ["## What does not agree, and why", ""]
    reasons = dict.fromkeys(r.network.why for r in rows if r.differs)
    for why in reasons:
        of = [
            r.network.name.replace("*", r"\*") for r in rows if r.differs and r.network.why == why
        ]
        parts.append(f"- **{', '.join(of)}.** {why}")
    return "\n".join([*parts, "", NOT_HERE.strip(), ""])


HEAD = (
    "| network | parameters, paper | here | difference "
    "| FLOPs, paper | here | difference | verdict |"
)

INTRODUCTION = """
# Published sizes

Networks that papers built with an attention mechanism, built again in a host of torchvision or timm
by `foveal.insert(…, init="paper")`. *Matched* means the same to the digits printed: parameters of
{parameters} networks of {total}, FLOPs of {flops} of {printed}. Where a figure differs, the reason
is below the table. `python benchmarks/published.py` builds them all and writes this page;
`benchmarks/published.yaml` says for each network where the mechanism goes, and its options.

FLOPs are multiply-adds for one image of 224 × 224, as in all of these papers, counted by the rule
of the tool that the authors used where it is known (`benchmarks/counting.py`): *products* counts
convolutions and linear maps alone; *thop* and *ptflops* add to them batch normalisation, pooling
and, some of them, ReLU; *foveal* is `foveal.measure.count_multiply_adds`. A mechanism keeps the
shape of its map, so where it replaces a convolution that also halves the map, the halving stands
before it. Layers that a mechanism replaces are not counted.
"""

NOT_HERE = """
## Not verified

Left out because the authors' repositories have no table of these figures, and their papers could
not be read: SE, CBAM, BAM and GC as their own papers have them (the SE, CBAM and BAM networks
above are from later tables), FcaNet, GCT, NAM, SCSA, MCA and ResNeSt.

Left out because they cannot be built from what is published or what Foveal inserts: EPSANet
(large), whose group sizes are not in the repository; SE-CoTNetD, whose stem and mixture of blocks
are the authors' own; MobileNeXt with coordinate attention, a host that neither torchvision nor
timm has; AFF, which replaces the addition of a block.
"""


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)  # the images are small
    names = [a for a in arguments if a != "--check"]
    networks = [n for n in read() if not names or any(name in n.name for name in names)]
    rows = []
    for network in networks:
        rows.append(row(network))
        print(rows[-1].markdown(), flush=True)
    faults = [f"{r.network.name}: nobody says why" for r in rows if r.differs and not r.network.why]
    faults += [f"{r.network.name}: why?" for r in rows if not r.differs and r.network.why]
    if names:
        return
    text = page(rows)
    if "--check" not in arguments:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        faults.append(f"{PAGE.name} says something else; run this without --check")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main(sys.argv[1:])
