"""Verdicts in plain words.

Nothing here decides anything: a verdict is read from the study, never worked out again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foveal.report.facts import places, seed_facts
from foveal.report.numbers import LEVEL, Scale, decided
from foveal.report.table import Row
from foveal.study.records import Study, Variant


def title(variant: Variant) -> str:
    """What a sentence calls a variant: its name, and where it stands if the name does not say."""
    where = places(variant.where)
    return f"{variant.name} at {where}" if where and where not in variant.name else variant.name


def sentence(row: Mapping[str, Any], scale: Scale) -> str:
    """The answer for one attention variant, after its name; only what the study's verdicts hold.

    Args:
        row: a row of `verdict_rows`.
        scale: how the metric is written.
    """
    if row["verdict"] is None:
        return f"has no verdict yet: {row['seeds']} of {row['seeds_planned']} seeds are finished."
    unit = f" {scale.difference_unit}".rstrip()
    interval = scale.interval(row["low"], row["high"])
    word = row["verdict"] if decided(row["verdict"]) else "is not distinguishable from no attention"
    text = f"{word}, {scale.signed(row['difference'])}{unit} ({LEVEL} interval {interval})."
    if decided(row["verdict"]):
        return text + _beside(row, scale)
    low, high = row["low"], row["high"]
    if row["blind"]:
        text += " With so few seeds no difference, however large, could have been told."
    elif row["smallest_effect"] is not None:
        if low is not None and high is not None and low * high > 0:
            text += " The interval leaves zero out, but the corrected test does not reject it."
        smallest = f"{scale.value(row['smallest_effect'])}{unit}"
        text += f" A true difference below {smallest} could have escaped this study."
    return text


def _beside(row: Mapping[str, Any], scale: Scale) -> str:
    """Whether it was the attention: the variant beside its own controls."""
    text = ""
    beside = [
        f"{_THAN[row[f'{role}_verdict']]} {what} ({_difference(row, role, scale)})"
        for role, what in _CONTROLS.items()
        if row.get(f"{role}_verdict") is not None
    ]
    if beside:
        *first, last = beside
        text = f" It is {', '.join(first)}{' and ' * bool(first)}{last}."
    if row["verdict"] == "helps" and row["matched_verdict"] == "not distinguishable":
        text += " The gain may come from the added size rather than from attention."
    if row["verdict"] == "helps" and row["frozen_verdict"] == "not distinguishable":
        text += " That the gates have to be learned is not shown."
    return text


_THAN = {
    "helps": "better than",
    "hurts": "worse than",
    "not distinguishable": "not distinguishable from",
}
_CONTROLS = {
    "matched": "a plain block of the same size",
    "frozen": "the same insertion with frozen random gates",
    "larger": "the next larger scale of the bare model",
}


def _difference(row: Mapping[str, Any], role: str, scale: Scale) -> str:
    interval = scale.interval(row[f"{role}_low"], row[f"{role}_high"])
    return f"{scale.signed(row[f'{role}_difference'])}, {interval}"


def subtitle(study: Study) -> str:
    planned = len(study.variants) * len(study.seeds)
    what = f"{_many(len(study.variants), 'variant')}, {_many(len(study.seeds), 'seed')} each"
    if study.complete:
        return f"{what}: all {planned} runs finished"
    return f"{what}: under way, {len(study.runs)} of {planned} runs finished"


def headline(rows: Sequence[Row]) -> str:
    asked = [row["verdict"] for row in rows if row["role"] == "attention"]
    if not asked:
        return "This study holds no attention variant."
    if not any(asked):
        return "There is no verdict yet."
    says = {
        "helps": "helps" if asked.count("helps") == 1 else "help",
        "hurts": "hurts" if asked.count("hurts") == 1 else "hurt",
    }
    parts = [f"{asked.count(word)} {verb}" for word, verb in says.items() if word in asked]
    unclear, missing = asked.count("not distinguishable"), asked.count(None)
    if unclear:
        verb = "is" if unclear == 1 else "are"
        parts.append(f"{unclear} {verb} not distinguishable from no attention")
    if missing:
        parts.append(f"{missing} {'has' if missing == 1 else 'have'} no verdict yet")
    return f"Of {_many(len(asked), 'attention variant')}, {', '.join(parts)}."


def notices(study: Study, rows: Sequence[Row]) -> Iterator[str]:
    """What a reader must know before believing the rest."""
    planned = len(study.variants) * len(study.seeds)
    if not study.complete:
        yield (
            f"This study is under way: {len(study.runs)} of {planned} runs are finished. "
            "A verdict shown here was made from the seeds that it names."
        )
    if any(row["blind"] for row in rows if row["role"] == "attention"):
        yield _blind(study)
    for row in rows:
        if row["diverged"]:
            yield (
                f"{row['variant']}: {_many(row['diverged'], 'run')} of {row['seeds']} ended "
                "without a number; the mean is over the others."
            )
    yield from (f"{remark}." for remark in study.plan.get("notes") or ())
    broken = [seed["seed"] for seed in seed_facts(study) if not seed["paired"]]
    if broken:
        yield (
            "The variants did not start from the same weights or did not see the images in the "
            f"same order at seed {', '.join(map(str, broken))}; those pairs are no fair comparison."
        )


def answers(study: Study, rows: Sequence[Row], scale: Scale) -> list[dict[str, Any]]:
    """A sentence per attention variant: what helps first, the largest difference first."""
    titles = {variant.name: title(variant) for variant in study.variants}
    order = {"helps": 0, "not distinguishable": 1, "hurts": 2, None: 3}
    asked = [row for row in rows if row["role"] == "attention"]
    asked.sort(key=lambda row: (order[row["verdict"]], -(row["difference"] or 0)))
    return [
        {
            "title": titles[row["variant"]],
            "verdict": row["verdict"],
            "text": sentence(row, scale),
        }
        for row in asked
    ]


def note(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    compared = sorted({row["compared_seeds"] for row in rows if row["compared_seeds"]})
    seeds = f" over {' or '.join(map(str, compared))} seeds" if compared else ""
    return (
        f"{scale.title} on the test images after the last epoch, mean ± standard "
        f"deviation over seeds. Differences are paired by seed{seeds}. p: paired permutation "
        "test, two-sided; corrected by Holm over the comparisons of the same kind."
    )


def unseen(study: Study, rows: Sequence[Row], scale: Scale) -> list[str]:
    """What the design could and could not have found: as foreseen, and as the runs turned out."""
    foreseen = (study.plan.get("power") or {}).get("text")
    lines = [f"As planned: {foreseen}"] if foreseen else []
    unit = f" {scale.difference_unit}".rstrip()
    asked = [row for row in rows if row["role"] == "attention"]
    seen = [row for row in asked if row["smallest_effect"] is not None]
    if any(row["blind"] for row in asked):
        lines.append(_blind(study))
    elif seen:
        effects = [row["smallest_effect"] for row in seen]
        least, most = scale.value(min(effects)), scale.value(max(effects))
        reach = least if least == most else f"{least} to {most}"
        power = study.config.get("power")
        chance = f"probability {power:g}" if power else "the power that was planned"
        lines.append(
            f"As it turned out: the seeds differed so much that a true difference of {reach}{unit} "
            f"would have been found with {chance}. A smaller one is found less often; not "
            "distinguishable is not the same as no difference."
        )
        if least != most:
            parts = [f"{r['variant']} {scale.value(r['smallest_effect'])}{unit}" for r in seen]
            lines.append(f"By variant: {'; '.join(parts)}.")
    elif not lines:
        lines.append("That is known with the verdicts; there are none yet.")
    lines.append(
        "The verdicts hold for this host, this data, this recipe and these places; nothing here "
        "says what a longer training, more images or another model would give."
    )
    return lines


def _blind(study: Study) -> str:
    return (
        f"With {_many(len(study.seeds), 'seed')} the permutation test cannot reach significance "
        "after correction: whatever the difference, it would have been called not distinguishable. "
        "This study needs more seeds, or fewer variants."
    )


def _many(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
