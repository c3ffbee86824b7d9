"""docs/mix.md: every combination in its table builds and behaves; every word is in it."""

import inspect
import re
from pathlib import Path

import pytest
import torch

from foveal import create_attention
from foveal.mix import read as reading
from foveal.mix.feedback import WEIGHTINGS
from foveal.mix.words import WORDS
from foveal.testing import check_attention

PAGE = (Path(__file__).parents[2] / "docs/mix.md").read_text()
LINE = re.compile(r"^\| (.+?) \| `([^`]+)` \|$", re.MULTILINE)
KNOWN = {
    known: notation.replace(r"\|", "|")
    for known, notation in LINE.findall(PAGE.split("## Known combinations")[1])
}


def test_the_table_is_read():
    names = " ".join(KNOWN)
    for known in (
        *("CBAM", "BAM", "scSE", "DANet", "static", "preset", "feedback", "gated"),
        *("concatenating", "quality", "hierarchical", "recursive", "mobile", "documents"),
    ):
        assert known in names


@pytest.mark.parametrize("known", KNOWN)
def test_a_known_combination_is_built_as_it_is_written(known):
    notation = KNOWN[known]
    torch.manual_seed(0)
    mix = create_attention(notation, channels=32)
    assert mix.notation == notation
    x = torch.randn(2, 32, 9, 7, requires_grad=True)
    y = mix(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    weights = mix.weights(x)
    assert bool(weights) == bool(re.search(r"weights=|select|hierarchy|pyramid", notation))
    for one in weights.values():
        torch.testing.assert_close(one.sum(1), torch.ones_like(one.sum(1)))


@pytest.mark.parametrize("known", KNOWN)
def test_a_known_combination_learns_and_explains_itself(known):
    check_attention(KNOWN[known], laws=["shape", "learning", "attention_map", "cost"])


def test_every_word_and_weighting_is_in_the_page():
    tables = PAGE.split("## The words")[1].split("## Layouts")[0]
    assert set(re.findall(r"`(\w+)\(", tables)) >= {*WORDS, *WEIGHTINGS} - {"quality"}
    assert "`quality`" in tables


def test_the_grammar_is_that_of_the_reader():
    grammar = re.search(r"```text\n(mix .*?)```", PAGE, re.DOTALL)
    assert grammar
    doc = inspect.cleandoc(inspect.getmodule(reading).__doc__ or "")
    for line in doc.splitlines()[2:]:
        assert line.strip() in grammar[1]
