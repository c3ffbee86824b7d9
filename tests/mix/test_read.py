"""The notation: read, printed, read again; and what is said where it cannot be read."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notations import trees

from foveal.mix.fault import NotationError
from foveal.mix.read import read
from foveal.mix.tree import Call, Items, Literal, Option, Parallel, Serial

A, B, C = (Call(word) for word in "abc")


@given(trees)
@settings(max_examples=150, deadline=None)
def test_what_is_printed_reads_as_it_was(tree):
    assert read(str(tree)) == tree


@given(st.text(st.sampled_from('ab01.()|>,="- \n@_'), max_size=25))
@settings(max_examples=150, deadline=None)
def test_any_text_reads_or_is_refused_at_a_place_in_it(text):
    try:
        tree, fault = read(text), None
    except NotationError as error:
        tree, fault = None, error
    if fault is None:
        assert read(str(tree)) == tree
    else:
        assert 0 <= fault.start < fault.end <= len(text) + 1
        assert "^" in str(fault).splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("a > b > c", Serial((A, B, C))),
        ("a | b > c", Parallel((A, Serial((B, C))))),
        ("(a | b) > c", Serial((Parallel((A, B)), C))),
        ("a > (b > c)", Serial((A, Serial((B, C))))),
        ("((a))", A),
        ("a()", A),
        ("f(a | b, 3, x=1.5, y=True)", None),
    ],
)
def test_precedence_and_grouping(text, tree):
    wanted = tree or Call(
        "f",
        (Parallel((A, B)), Literal(3)),
        (Option("x", Literal(1.5)), Option("y", Literal(True))),
    )
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(1, 2)", Items((Literal(1), Literal(2)))),
        ("(1,)", Items((Literal(1),))),
        ("(1)", Literal(1)),
        ("()", Items(())),
        ("(avg, max)", Items((Call("avg"), Call("max")))),
        ("-2e-3", Literal(-0.002)),
        ('"max pool"', Literal("max pool")),
        ("fixed(1, 2)", Call("fixed", (Literal(1), Literal(2)))),
        ("None", Literal(None)),
    ],
)
def test_values_of_options(text, value):
    assert read(f"a(x={text})") == Call("a", (), (Option("x", value),))


def test_a_tree_knows_where_its_parts_stand():
    tree = read("eca > se(reduction=8)")
    se = tree.parts[1]
    assert (se.span.start, se.span.end) == (6, 21)
    assert (se.at.start, se.at.end) == (6, 8)
    assert se.options[0].span.start == 9


@pytest.mark.parametrize(
    ("text", "pointed", "says"),
    [
        ("", "", "empty"),
        ("a >", "", "must follow '>'"),
        ("a > > b", ">", "not '>'"),
        ("| a", "|", "at the beginning"),
        ("(a | b", "(", "never closed"),
        ("a | b)", ")", "closes nothing"),
        ("a b", "b", "should stand > or |"),
        ("a(b c)", "c", "comma, > or | missing"),
        ("a(x=)", ")", "x has no value"),
        ("a(x=1, 2)", "2", "only options"),
        ("a(x=1, x=2)", "x", "twice"),
        ("a @ b", "@", "no meaning"),
        ("a[1]", "[", "not used"),
        ("a(x='b')", "'", "double quotation"),
        ('a(x="b)', '"', "never closed"),
        ("3 > a", "3", "a mechanism must stand"),
        ("a > true", "true", "a mechanism must stand"),
        ("a(1.2.3)", "1", "no number"),
        ("(" * 60 + "a", "(", "within each other"),
    ],
)
def test_mistakes_are_pointed_at(text, pointed, says):
    with pytest.raises(NotationError, match=says.replace("|", r"\|")) as raised:
        read(text)
    error = raised.value
    assert text[error.start : error.end] == pointed
    *_, line, carets = str(error).splitlines()
    assert line.strip() == text.strip()
    assert line[carets.index("^") :].startswith(pointed)


def test_the_place_is_shown_in_its_own_line():
    with pytest.raises(NotationError) as raised:
        read("a |\n  b ! c")
    assert str(raised.value).endswith("    b ! c\n      ^")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
