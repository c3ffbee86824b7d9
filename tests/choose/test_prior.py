"""The rules of thumb: whom each speaks for, and whom not."""

import pytest

from foveal.choose import RULES, TASKS
from foveal.choose.places import find_host
from foveal.choose.prior import IN_TIMM, Setting, grows_with_square, papers_place, rules_for
from foveal.core.registry import attention_info, list_attentions

SMALL, LARGE = (
    find_host(shape).places(None)[0] for shape in ((8, 10, 10), (8, 40, 40))
)  # 100 and 1,600 tokens
PLAIN = Setting("classification", "torch", None)


def speaks(name, place=SMALL, setting=PLAIN):
    return {rule.name: rule.points for rule in rules_for(attention_info(name), place, setting)}


@pytest.mark.parametrize(
    ("rule", "place", "setting", "favoured", "others"),
    [
        ("memory above 8 GB", SMALL, Setting("classification", "torch", 16 * 10**9),
         ["mhsa", "swin", "aifi"], ["se", "external"]),
        ("more than 1,000 tokens", LARGE, PLAIN, ["a2", "external"], ["mhsa", "se"]),
        ("mobile", SMALL, Setting("detection", "mobile", None), ["eca", "simam"], ["se", "mhsa"]),
        ("video", SMALL, Setting("video", "torch", None), ["external", "axial"], ["eca", "se"]),
        ("segmentation", SMALL, Setting("segmentation", "torch", None),
         ["danet", "crisscross"], ["eca", "mhsa"]),
    ],
)  # fmt: skip
def test_the_fields_rules_of_thumb(rule, place, setting, favoured, others):
    for name in favoured:
        assert speaks(name, place, setting).get(rule, 0) > 0, name
        assert rule not in speaks(name), name  # and only where the rule applies
    for name in others:
        assert rule not in speaks(name, place, setting), name
    assert next(r for r in RULES if r.name == rule).source == "the field's rule of thumb"


def test_exactly_8_gb_is_not_above():
    assert "memory above 8 GB" not in speaks("mhsa", SMALL, Setting(TASKS[0], "torch", 8 * 10**9))


def test_what_speaks_against():
    assert speaks("mhsa", LARGE)["square of the tokens"] == -1
    assert "square of the tokens" not in speaks("mhsa", SMALL)
    assert "square of the tokens" not in speaks("se", LARGE)
    assert speaks("involution")["made to replace"] == -1
    assert speaks("ca_channel")["part of another"] == -1
    assert "part of another" not in speaks("cbam")


def test_the_square_is_read_off_the_stated_cost():
    squares = {name for name in list_attentions() if grows_with_square(attention_info(name))}
    assert {"mhsa", "danet_position", "danet", "simplified_sa"} <= squares
    assert not squares & {"se", "eca", "external", "linear_elu", "performer", "crisscross"}


def test_a_papers_place_is_read_off_the_card():
    places = {place.where: place for place in find_host("builtin:small_cnn").places(None)}
    assert papers_place(attention_info("se"), places["every_block"])
    assert not papers_place(attention_info("se"), places["last_stage"])
    assert papers_place(attention_info("crisscross"), places["last_stage"])
    assert not papers_place(attention_info("involution"), places["every_block"])
    assert not papers_place(attention_info("mhsa"), places["every_block"])  # for transformers


def test_what_timm_builds_is_here():
    assert set(IN_TIMM) <= set(list_attentions())
