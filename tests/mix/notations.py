"""Trees of the grammar, for hypothesis."""

from hypothesis import strategies as st

from foveal.mix.tree import CONSTANTS, Call, Items, Literal, Option, Parallel, Serial

words = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda w: w not in CONSTANTS)
literals = st.builds(
    Literal,
    st.one_of(
        st.booleans(),
        st.none(),
        st.integers(-(10**9), 10**9),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=5),
    ),
)


def _calls(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(
        Call,
        words,
        st.lists(inner, max_size=3).map(tuple),
        st.lists(st.builds(Option, words, inner), max_size=3, unique_by=lambda o: o.name).map(
            tuple
        ),
    )


def _larger(inner: st.SearchStrategy) -> st.SearchStrategy:
    mixes = inner.filter(lambda tree: isinstance(tree, Call | Serial | Parallel))
    several = st.lists(mixes, min_size=2, max_size=3).map(tuple)
    items = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        _calls(inner),
        st.builds(Serial, several),
        st.builds(Parallel, several),
        st.builds(Items, items),
    )


values = st.recursive(st.one_of(literals, st.builds(Call, words)), _larger, max_leaves=12)
trees = values.filter(lambda tree: isinstance(tree, Call | Serial | Parallel))
