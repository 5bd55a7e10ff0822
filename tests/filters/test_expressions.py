"""Regular expressions in bounded time: they find what `re` finds, and no text and no pattern can hold anybody up."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.filters import expressions
from lucy_core.filters.expressions import Expression, ExpressionError, SearchLimitError

# Among them letters whose cases are no pair.
ATOMS = r"""
a b ab . \w \W \d \s \S [ab] [^a] [a-c\d] [^\W\d] \. \n ^ $ \A \Z \b \B () (?:) é \u017f \u212a ß _ \x61 0
"""
atoms = st.sampled_from(ATOMS.split())
repeats = st.sampled_from(("*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{,3}?", "{0}", "{", "{x"))
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.builds("(?:{})".format, inner),
        st.builds("(?P<name>{})".format, inner),
        # Not "a": at the beginning of a pattern `re.search` forgets it, and finds less than `re.match`.
        st.builds("(?{}:{})".format, st.sampled_from(("i", "m", "s", "i-s", "-i", "ims")), inner),
        st.builds("(?:{}){}".format, inner, repeats),
        st.builds("{}{}".format, atoms, repeats),
    ),
    max_leaves=8,
)
flags = st.sampled_from(("", "(?i)", "(?m)", "(?s)", "(?a)", "(?ims)", "(?x)"))
texts = st.text(st.sampled_from("aAbBc0 _.\néÉ\u017fs\u212akß"), max_size=7)


@given(flags, patterns, st.lists(texts, min_size=1, max_size=4))
def test_it_finds_what_re_finds_either_way(flag: str, pattern: str, given_texts: list[str]) -> None:
    try:
        compiled = re.compile(flag + pattern)
    except (re.error, FutureWarning, OverflowError):
        return
    expression = Expression(flag + pattern)
    for text in given_texts:
        found = compiled.search(text) is not None
        assert expression.search(text) is found
        assert expression._program.run(text) is found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    (
        (r"(a+)+$", "a" * 5000 + "b", False),
        (r"^(a|aa)*$", "a" * 5000 + "b", False),
        (r"(a?){30}a{30}", "a" * 29, False),
        (r"(x+x+)+y", "x" * 5000, False),
        (r"(.*)(.*)(.*)(.*)(.*)=x", "a" * 5000 + "=x", True),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5000, False),
        (r"(a|b)(a|b)*(a|b)*c", "ab" * 2500, False),
        (r".*.*.*x", "a" * 5000, False),
    ),
)
def test_what_holds_up_re_for_minutes_is_one_walk_over_the_text(
    pattern: str, text: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expression = Expression(pattern)
    monkeypatch.setattr(expressions, "MOST_WORK", 5000)  # no more than a step a character
    assert expression.search(text) is found


@pytest.mark.parametrize(
    "pattern", (r"connection (lost|closed)", r".*disk is slow.*", r"\d\d:\d\d", r"a?b?c?", r"\w+@\w+")
)
def test_what_costs_re_little_is_left_to_it(pattern: str) -> None:
    assert Expression(pattern)._search is not None


@pytest.mark.parametrize("pattern", (r"a.*b", r"a(b|cd)*e", r"a{33}", r"(ab|a|b)(ab|a|b)(ab|a|b)x", r"a\w+@\w+"))
def test_what_may_cost_re_much_is_not_left_to_it(pattern: str) -> None:
    assert Expression(pattern)._search is None


def test_a_search_that_takes_too_much_work_is_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_WORK", 10_000)
    many = Expression("(a|b)*a(a|b){200}c")
    with pytest.raises(SearchLimitError, match=r"\(a\|b\)\*a\(a\|b\)\{200\}c.* takes too much work"):
        many.search("".join(random.Random(1).choices("ab", k=1000)))
    assert not many.search("b" * 1000)
    monkeypatch.setattr(expressions, "LONGEST", 100)
    with pytest.raises(SearchLimitError, match="a text of 101 characters is too long"):
        Expression("a").search("b" * 101)


def test_what_is_remembered_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_CACHED", 50)
    expression = Expression("(é.*)+a")
    text = "é" + "".join(map(chr, range(0x4E00, 0x5000)))
    assert not expression.search(text)
    assert expression.search(text + "a")
    assert sum(map(len, expression._program._states.values())) <= 51


@pytest.mark.parametrize(
    ("pattern", "said"),
    (
        (r"(?=a)b", "looking ahead or behind"),
        (r"(?<!a)b", "looking ahead or behind"),
        (r"(a)\1", "what a group matched before"),
        (r"((a)|b)(?(2)c|d)", "what a group matched before"),
        (r"a{1001}", "more than 1,000 steps"),
        (r"((a{30}){30}){30}", "more than 1,000 steps"),
    ),
)
def test_what_has_no_bound_is_refused_by_name(pattern: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        Expression(pattern)


def test_repeating_nothing_is_over_at_once() -> None:
    assert Expression("(?:){1000000000}$").search("")
    assert not Expression("x(?:(?:){4000,90000})*y").search("xz")
