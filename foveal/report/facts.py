"""What was run, on what, with which versions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from foveal.core.errors import FovealError
from foveal.core.registry import attention_info
from foveal.study.records import Study, Variant

ROLES = {
    "none": "no attention",
    "attention": "attention",
    "frozen": "frozen random gates",
    "matched": "plain block of the same size",
    "larger": "the next larger scale",
}


def places(where: str | Iterable[str] | None) -> str:
    """Where a mechanism stands, short enough for a sentence.

    >>> places("stage_ends"), places(["layer1", "layer2"]), places(["a", "b", "c", "d"])
    ('stage_ends', 'layer1, layer2', '4 places')
    """
    if where is None or isinstance(where, str):
        return where or ""
    names = list(where)
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} places"


def variant_facts(study: Study, variant: Variant) -> dict[str, Any]:
    """What a variant is, with the paper of its mechanism and the places it was put at."""
    url = paper = None
    if variant.attention:
        try:
            card = attention_info(variant.attention)
            url, paper = card.url, card.paper
        except FovealError:
            pass  # a factory of the user's own, or a plug-in that is not installed here
    return {
        "name": variant.name,
        "role": ROLES.get(variant.role, variant.role),
        "attention": variant.attention,
        "url": url,
        "paper": paper,
        "where": places(variant.where) or "–",
        "paths": ", ".join((study.plan.get("places") or {}).get(variant.name, ())),
        "position": variant.position,
        "init": variant.init,
        "options": _options(variant),
    }


def _options(variant: Variant) -> str:
    options = [f"{k}={v!r}" for k, v in variant.options.items()]
    if variant.anneal and variant.role != "matched":
        options.append("temperature from {start:g} to {end:g}".format(**variant.anneal))
    return ", ".join(options) or "defaults"


def seed_facts(study: Study) -> list[dict[str, Any]]:
    lines = []
    larger = {v.name for v in study.variants if v.role == "larger"}  # a host of its own
    for seed in study.seeds:
        runs = [run for run in study.runs if run.seed == seed]
        hosts = sorted({run.host_hash for run in runs if run.variant not in larger})
        orders = sorted({run.order_hash for run in runs})
        lines.append(
            {
                "seed": seed,
                "runs": len(runs),
                "host": " ≠ ".join(hosts) or "–",
                "order": " ≠ ".join(orders) or "–",
                "paired": len(hosts) < 2 and len(orders) < 2,
            }
        )
    return lines


def settings(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as lines `a.b: value`."""
    for key, value in data.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            yield from settings(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for i, item in enumerate(value, 1):
                inner = item if isinstance(item, Mapping) else {"": item}
                yield from settings(inner, f"{name} {i}.")
        else:
            yield name.rstrip("."), _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value == {} else str(value)
