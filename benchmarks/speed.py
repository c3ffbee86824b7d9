"""Time mechanisms beside other implementations, taking turns in one run.

    python benchmarks/speed.py [--peers FOLDER] [--only NAME ...]

FOLDER holds checkouts of github.com/xmu-xiaoma666/External-Attention-pytorch and
github.com/changzy00/pytorch-attention; without it only timm's layers are compared. A ratio is the
other's time over ours: above 1 ours is faster. Times are of the processor, so that a busy machine
disturbs less; the interval is that of the median over rounds, by bootstrap. A mechanism whose
gradient is wrong or whose conformance is broken gets no number.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap
from torch import Tensor, nn

from foveal import create_attention
from foveal.measure import environment
from foveal.testing.kit import examine

WIDE, DEEP, PAIRS = (8, 256, 56, 56), (16, 512, 14, 14), (2, 256, 14, 14)
XMU, CHZ, TIMM = "model.attention", "attention_mechanisms", "timm.layers"
ROUNDS = 15


@dataclass(frozen=True)
class Other:
    """Somebody's implementation: a class in a module, built from the channels C and positions N."""

    name: str
    module: str
    cls: str
    arguments: Callable[[int, int], dict[str, Any]]
    shapes: tuple[tuple[int, int, int, int], ...] = (WIDE, DEEP)
    tokens: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Of ours, where the other computes something else than our default."""


def channel(c: int, n: int) -> dict[str, Any]:
    return {"channel": c}


def channels(c: int, n: int) -> dict[str, Any]:
    return {"channels": c}


def nothing(c: int, n: int) -> dict[str, Any]:
    return {}


OTHERS = (
    Other("simam", f"{XMU}.SimAM", "SimAM", nothing),
    Other("polarized", f"{XMU}.PolarizedSelfAttention", "ParallelPolarizedSelfAttention", channel),
    Other("aft", f"{XMU}.AFT", "AFT_FULL", lambda c, n: {"d_model": c, "n": n}, (PAIRS,), True),
    Other("cot", f"{XMU}.CoTAttention", "CoTAttention", lambda c, n: {"dim": c}),
    Other("srm", f"{CHZ}.srm", "SRM", channel),
    Other("cbam", f"{TIMM}.cbam", "CbamModule", channels),
    Other("cbam", f"{CHZ}.cbam", "CBAM", channel),
    Other("coord", f"{TIMM}.coord_attn", "CoordAttn", channels),
    Other("coord", f"{XMU}.CoordAttention", "CoordAtt", lambda c, n: {"inp": c, "oup": c}),
    Other("se", TIMM, "SEModule", channels),
    Other("se", f"{XMU}.SEAttention", "SEAttention", channel),
    Other("eca", TIMM, "EcaModule", channels),
    Other("gc", TIMM, "GlobalContext", channels),
    Other("gc", f"{CHZ}.gc_module", "GCModule", channel),
    Other("ela", f"{TIMM}.coord_attn", "EfficientLocalAttn", channels),
    Other("sge", f"{XMU}.SGE", "SpatialGroupEnhance", lambda c, n: {"groups": 64}),
    Other("triplet", f"{XMU}.TripletAttention", "TripletAttention", nothing),
    Other("triplet", f"{CHZ}.triplet_attention", "TripletAttention", nothing),
    Other("shuffle", f"{XMU}.ShuffleAttention", "ShuffleAttention", channel),
    Other("bam", f"{CHZ}.bam", "BAM", channel),
    Other("a2", f"{XMU}.A2Atttention", "DoubleAttention",
          lambda c, n: {"in_channels": c, "c_m": c // 4, "c_n": c // 4}),
    Other("sk", TIMM, "SelectiveKernel", lambda c, n: {"in_channels": c}, (DEEP,)),
    Other("epsa", f"{XMU}.PSA", "PSA", channel, (DEEP,)),
    Other("lct", f"{CHZ}.lct", "LCT", lambda c, n: {"channels": c, "groups": 64}),
    Other("gct_gated", f"{CHZ}.gate_channel_module", "GCT", lambda c, n: {"num_channels": c}),
    Other("danet_channel", f"{CHZ}.dual_attention", "CAM", nothing, (DEEP,)),
    Other("danet_position", f"{CHZ}.dual_attention", "PAM", lambda c, n: {"dim": c}, (DEEP,)),
    Other("crisscross", f"{XMU}.CrissCrossAttention", "CrissCrossAttention",
          lambda c, n: {"in_dim": c}, (DEEP,), options={"recurrence": 1}),
    Other("mobilevitv2", f"{XMU}.MobileViTv2Attention", "MobileViTv2Attention",
          lambda c, n: {"d_model": c}, (DEEP,), True),
    Other("external", f"{XMU}.ExternalAttention", "ExternalAttention",
          lambda c, n: {"d_model": c}, (DEEP,), True),
)  # fmt: skip


def runner(module: nn.Module, x: Tensor, train: bool) -> Callable[[], None]:
    """One pass: forward, or forward and backward to the input and the parameters."""
    module.train(train)
    if not train:
        return torch.no_grad()(lambda: module(x))
    wanted = [x, *(p for p in module.parameters() if p.requires_grad)]
    pull = torch.ones_like(x)
    return lambda: torch.autograd.grad(module(x), wanted, pull, allow_unused=True) and None


def seconds(run: Callable[[], None]) -> float:
    start = process_time()
    run()
    return process_time() - start


def ratios(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> np.ndarray:
    """Their time over ours, round by round; who goes first changes with the round."""
    for _ in range(2):
        ours(), theirs()
    found = []
    for turn in range(rounds):
        if turn % 2:
            one, other = seconds(ours), seconds(theirs)
        else:
            other, one = seconds(theirs), seconds(ours)
        found.append(other / one)
    return np.array(found)


def input_for(shape: tuple[int, ...], tokens: bool) -> Tensor:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return x.flatten(2).mT.contiguous() if tokens else x


def compare(other: Other, rounds: int) -> list[tuple[str, ...]]:
    broken = [r for r in examine(other.name, laws=["shape", "gradcheck"]) if r.status == "broken"]
    source = f"{other.module}.{other.cls}".removeprefix(f"{XMU}.").removeprefix(f"{CHZ}.")
    if broken:
        return [(other.name, source, "", "", f"no number: {broken[0].reason}")]
    build = getattr(importlib.import_module(other.module), other.cls)
    lines = []
    for shape in other.shapes:
        c, n = shape[1], shape[2] * shape[3]
        ours, theirs = (
            create_attention(other.name, c, **other.options),
            build(**other.arguments(c, n)),
        )
        ours_on_map = other.name in ("aft",)
        for mode in "infer", "train":
            x = input_for(shape, other.tokens).requires_grad_(mode == "train")
            y = input_for(shape, False).requires_grad_(mode == "train") if ours_on_map else x
            train = mode == "train"
            size = "×".join(map(str, shape))
            run_theirs = runner(theirs, x, train)
            try:
                run_theirs()
            except RuntimeError as error:
                lines.append((other.name, source, size, mode, f"the other fails: {error}"[:60]))
                continue
            found = ratios(runner(ours, y, train), run_theirs, rounds)
            low, high = bootstrap((found,), np.median, rng=0).confidence_interval
            spread = f"{np.median(found):.2f} [{low:.2f}, {high:.2f}]"
            lines.append((other.name, source, size, mode, spread))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peers", help="folder with the two checkouts")
    parser.add_argument("--only", nargs="*", help="these mechanisms only")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    if chosen.peers:
        for repository in "External-Attention-pytorch", "pytorch-attention":
            sys.path.insert(0, f"{chosen.peers}/{repository}")
    table = Table("mechanism", "other", "shape", "mode", "other's time / ours [95 %]")
    for other in OTHERS:
        if (chosen.only and other.name not in chosen.only) or not (
            chosen.peers or other.module.startswith(TIMM)
        ):
            continue
        for line in compare(other, chosen.rounds):
            table.add_row(*line)
            print("\t".join(line), flush=True)
    console = Console(width=140)
    console.print(table)
    machine = environment()
    console.print(machine["cpu"], f"{torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
