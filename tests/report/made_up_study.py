"""Studies made up for the report's tests, through the records that a real study leaves."""

from dataclasses import asdict
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from foveal.study.records import Comparison, Cost, Run, Variant, save_run, write_json

BARE = 0.8712
HOST = 11_181_642


def variants_of(attentions: list[str], controls: bool = True, where: Any = "stage_ends"):
    yield Variant("none", "none")
    for name in attentions:
        yield Variant(name, "attention", attention=name, where=where)
        if controls:
            for role in ("frozen", "matched"):
                yield Variant(f"{name}-{role}", role, attention=name, where=where, control_of=name)


def compare(variant: Variant, baseline: str, runs: dict[str, list[float]], words: str):
    a, b = runs[variant.name], runs[baseline]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    half = 2.2 * stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.01
    mean = fmean(differences)
    p = 0.0020 if words != "not distinguishable" else 0.42
    asked = variant.role == "attention" and baseline == "none"
    return Comparison(
        variant=variant.name,
        baseline=baseline,
        seeds=len(a),
        mean=fmean(a),
        difference=mean,
        interval=(mean - half, mean + half),
        p=p,
        p_corrected=min(1.0, 3 * p) if asked else None,
        verdict=words,  # pyright: ignore[reportArgumentType]
        smallest_effect=1.3 * half,
    )


def build_study(
    folder: Path,
    *,
    attentions: list[str] | None = None,
    seeds: int = 12,
    epochs: int = 20,
    controls: bool = True,
    costs: bool = True,
    verdicts: bool = True,
    finished: int | None = None,
    added: int | None = None,
    where: Any = "stage_ends",
    name: str = "Flowers with ResNet-18",
) -> Path:
    """A study's folder with believable numbers; `finished` limits the runs of each variant."""
    random = Random(7)
    attentions = ["cbam", "eca", "mhsa"] if attentions is None else attentions
    variants = list(variants_of(attentions, controls, where))
    effects = [0.013, 0.002, -0.011]
    host_luck = [random.gauss(0, 0.006) for _ in range(seeds)]
    metrics: dict[str, list[float]] = {}
    parameters: dict[str, int] = {}
    for i, variant in enumerate(variants):
        base = variant.control_of or variant.name
        rank = attentions.index(base) if base in attentions else 0
        effect = {"none": 0, "frozen": 0.001, "matched": 0.004}.get(variant.role, effects[rank % 3])
        metrics[variant.name] = [
            round(BARE + effect + luck + random.gauss(0, 0.004), 4) for luck in host_luck
        ]
        more = 0 if variant.role == "none" else 2048 * (4**rank) % 900_001 + rank
        parameters[variant.name] = HOST + (more if added is None or i == 0 else added)
        for seed in range(seeds if finished is None or i == 0 else finished):
            metric = metrics[variant.name][seed]
            history = [
                {
                    "epoch": float(epoch),
                    "train_loss": 2.0 * 0.8**epoch + 0.1,
                    "val_loss": 1.9 * 0.84**epoch + 0.4,
                    "val_metric": metric - 0.6 * 0.72**epoch + random.gauss(0, 0.004),
                }
                for epoch in range(1, epochs + 1)
            ]
            save_run(
                folder,
                Run(
                    variant=variant.name,
                    seed=seed,
                    metric=metric,
                    history=history,
                    host_hash=f"{seed * 7919 + 12345:012x}",
                    order_hash=f"{seed * 104729 + 54321:012x}",
                    parameters=parameters[variant.name],
                    seconds=183.2,
                ),
            )
    config = {
        "name": name,
        "host": "timm:resnet18",
        "pretrained": True,
        "data": {"kind": "folder", "path": "flowers", "image_size": 224},
        "recipe": {"epochs": epochs, "optimizer": "adamw", "lr": 0.001, "batch_size": 64},
        "seeds": seeds,
        "alpha": 0.05,
        "power": 0.8,
        "variants": [{"attention": name, "where": where} for name in attentions],
    }
    environment = {
        "python": "3.11.9",
        "torch": "2.15.0",
        "foveal": "0.1.0",
        "machine": "x86_64",
        "cpu": "Example CPU",
        "cores": 16,
        "gpu": "Example GPU 80GB",
        "versions": {"timm": "1.0.31", "lightning": "2.6.6"},
    }
    write_json(
        folder / "plan.json",
        {
            "name": name,
            "config": config,
            "variants": [asdict(v) for v in variants],
            "seeds": list(range(seeds)),
            "places": {v.name: ["layer1.1", "layer2.1"] for v in variants if v.role != "none"},
            "notes": [],
            "power": {"seeds": seeds, "text": "a true difference of 1.5 points or more is found."},
            "environment": environment,
        },
    )
    if costs:
        write_json(folder / "costs.json", [asdict(c) for c in costs_of(variants, parameters)])
    if verdicts:
        rows = []
        for variant in variants:
            if variant.role == "none":
                continue
            rank = attentions.index(variant.control_of or variant.name)
            word = ["helps", "not distinguishable", "hurts"][rank % 3]
            main = word if variant.role == "attention" else "not distinguishable"
            rows.append(compare(variant, "none", metrics, main))
            if controls and variant.role == "attention":
                rows.append(compare(variant, f"{variant.name}-matched", metrics, word))
                rows.append(compare(variant, f"{variant.name}-frozen", metrics, word))
        write_json(folder / "verdicts.json", [asdict(row) for row in rows])
    return folder


def costs_of(variants: list[Variant], parameters: dict[str, int]) -> list[Cost]:
    def ratio(variant: Variant, i: int) -> float:
        slow = 0.02 if variant.role == "matched" else 0.05 + 0.013 * i
        return 1.0 if variant.role == "none" else 1 + slow

    return [
        Cost(
            variant=variant.name,
            parameters=parameters[variant.name],
            flops=round(3_627_000_000 * (1 + (ratio(variant, i) - 1) / 9)),
            bytes_moved=round(98_000_000 * ratio(variant, i)),
            peak_memory=round(61_000_000 * ratio(variant, i)),
            latency_ratio=ratio(variant, i),
            latency_ratio_interval=(ratio(variant, i) - 0.01, ratio(variant, i) + 0.012),
        )
        for i, variant in enumerate(variants)
    ]
