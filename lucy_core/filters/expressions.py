r"""Regular expressions over lines, in time that grows with the line and no faster. Sans-IO.

`re` goes back and tries again. `(a+)+$` takes it minutes over thirty letters, even `.*x` is quadratic, and nothing can
stop it on the way: it holds the interpreter, and with it the test, delivery and all. So it is only given what costs it
a few steps a character (`LEAST_WORK`), such as words, classes and alternatives of them. The rest is searched for as RE2
does, for which upstream's filters are written: all places that the expression may be at are one state, and a state and
a character lead to one state, which is worked out once. So a character costs 50 ns where that is known, and some
microseconds where it isn't. What takes more than `MOST_WORK` all the same, by a huge value or by too many states, is
given up with an error.

An expression means what it means to `re`: its own parser reads it, and its own matcher says whether one character is of
a class. Only what needs going back is refused, as it is by RE2: looking ahead or behind, what a group matched before,
and atomic groups.

For Python 3.7 and later with the standard library alone, as its neighbour `logproc`.
"""

# `list[int]` is news to old interpreters: they must not look at it.
from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

_NEW = sys.version_info >= (3, 11)
_parser: Any = importlib.import_module("re._parser" if _NEW else "sre_parse")
_compiler: Any = importlib.import_module("re._compiler" if _NEW else "sre_compile")

LEAST_WORK = 32
"""How many steps a character `re` may take at the most, to be asked at all."""
MOST_WORK = 1_000_000
"""How many steps between states one search may work out: about a second."""
LONGEST = 20_000_000
"""How many characters one search may look at: about a second as well."""
LARGEST = 1000
"""How many steps an expression may have, its repetitions written out."""
MOST_CACHED = 50_000
"""How many transitions are kept before all are forgotten: some 10 MB."""

_REFUSED = {
    "ASSERT": "looking ahead or behind",
    "ASSERT_NOT": "looking ahead or behind",
    "GROUPREF": "what a group matched before",
    "GROUPREF_EXISTS": "what a group matched before",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")  # either way there is a match or not
_TYPES = int(re.ASCII | re.UNICODE | re.LOCALE)
_OWN = int(re.IGNORECASE | re.MULTILINE | re.DOTALL)
_START, _NEWLINE, _WORD, _ASCII_WORD = 8, 1, 2, 4
"""What may stand before a place."""
_END = ""
_LAST_NEWLINE = "\n$"
"""What may stand behind it beside a character: nothing, and the newline at the very end, before which `$` holds too."""
_is_word = re.compile(r"\w").match
_is_ascii_word = re.compile(r"\w", re.ASCII).match


class ExpressionError(ValueError):
    """An expression can't be searched for in bounded time; says what of it."""


class SearchLimitError(Exception):
    """A search took too much work and was given up: nobody knows whether there is a match."""


class Expression:
    """A regular expression, to be searched for in text."""

    def __init__(self, pattern: str) -> None:
        """Compile it.

        Raises:
            re.error, RecursionError, OverflowError: it is no regular expression.
            ExpressionError: it is none that can be searched for in bounded time.
        """
        compiled = re.compile(pattern)
        self.pattern = pattern
        self.flags = compiled.flags
        tree = _parser.parse(pattern)
        self._head = getattr(tree, "state", None) or tree.pattern
        items = _trimmed(list(tree))
        self._program = _Program(self)
        self._program.begin(items)
        self._search: Any = None
        if _work(items)[1] <= LEAST_WORK:
            self._search = self.compile(items).search

    def __repr__(self) -> str:
        return f"Expression({self.pattern!r})"

    def compile(self, items: list[Any]) -> re.Pattern[str]:
        """Have `re` match a part of it."""
        compiled: re.Pattern[str] = _compiler.compile(_parser.SubPattern(self._head, items), self.flags)
        return compiled

    def search(self, text: str) -> bool:
        """Tell whether it matches anywhere in a text.

        Raises:
            SearchLimitError: nobody can say, with the work that it may take.
        """
        if len(text) > LONGEST:
            raise SearchLimitError(f"{self.pattern!r}: a text of {len(text):,} characters is too long")
        if self._search is not None:
            return self._search(text) is not None
        return self._program.run(text)


# --- what it costs `re` ---------------------------------------------------------------------------------------------


def _trimmed(items: list[Any]) -> list[Any]:
    """Leave out what may be left out at either end where any match is as good as the longest: `.*x.*` is `x`."""
    for at in (0, -1):
        while items and items[at][0].name in _REPEATS:
            kind, (least, _, body) = items[at]
            if least:
                items[at] = (kind, (least, least, body))
                break
            items.pop(at)
    return items


def _work(items: Any) -> tuple[float, float]:
    """Return in how many ways a sequence can match at one place, and how many steps it takes to try them all."""
    ways, steps = 1.0, 0.0
    for kind, value in items:
        its_ways, its_steps = 1.0, 1.0
        if kind.name == "BRANCH":
            each = [_work(branch) for branch in value[1]]
            its_ways, its_steps = sum(one for one, _ in each), sum(one for _, one in each)
        elif kind.name == "SUBPATTERN":
            its_ways, its_steps = _work(value[-1])
        elif kind.name in _REPEATS:
            least, most, body = value
            if most > LEAST_WORK:
                return float("inf"), float("inf")
            once, tried = _work(body)
            its_ways = sum(once**number for number in range(least, most + 1))
            its_steps = tried * sum(once**number for number in range(most))
        steps += ways * its_steps
        ways *= its_ways
    return ways, steps


# --- what is searched state by state --------------------------------------------------------------------------------


class _State(dict):  # type: ignore[type-arg]  # old interpreters know no arguments of it
    """All places that the expression may be at, and by character the state that follows."""

    __slots__ = ("before", "places", "program")

    def __init__(self, program: _Program, places: frozenset[int], before: int) -> None:
        super().__init__()
        self.program = program
        self.places = places
        self.before = before

    def __missing__(self, symbol: str) -> _State:
        return self.program.step(self, symbol)


class _Program:
    """The steps of an expression, each a number; a search is at many of them at once."""

    def __init__(self, whole: Expression) -> None:
        self._whole = whole
        self._tests: list[Any] = []
        """By step: what a character must be to go on; None where none is needed."""
        self._holds: list[Any] = []
        """By step: what must hold at its place."""
        self._next: list[tuple[int, ...]] = []
        self._known: dict[Any, Any] = {}
        self._looks_around = False
        self._end = self._add(None, None, ())
        self._first = self._end
        self._states: dict[Any, _State] = {}
        self._cached = 0
        self._left = 0
        self._found = _State(self, frozenset(), 0)

    def begin(self, items: list[Any]) -> None:
        self._first = self._sequence(items, self._whole.flags, self._end)

    def run(self, text: str) -> bool:
        """Search a text from its start to its end."""
        self._left = MOST_WORK
        found = self._found
        state = self._state(frozenset(), _START)
        is_line = text.endswith("\n")
        for character in text[:-1] if is_line else text:
            state = state[character]
            if state is found:
                return True
        if is_line:
            state = state[_LAST_NEWLINE]
        return state is found or state[_END] is found

    def step(self, state: _State, symbol: str) -> _State:
        """Work out which state follows on a character, and remember it."""
        character = symbol[:1]
        places: set[int] = set()
        seen = {self._first, *state.places}
        left = list(seen)
        found = False
        while left and not found:
            place = left.pop()
            holds, test = self._holds[place], self._tests[place]
            if place == self._end:
                found = True
            elif test is not None:
                if character and test(character) is not None:
                    places.update(self._next[place])
            elif holds is None or holds(state.before, symbol):
                for each in self._next[place]:
                    if each not in seen:
                        seen.add(each)
                        left.append(each)
        self._left -= len(seen)
        if self._left < 0:
            raise SearchLimitError(f"{self._whole.pattern!r} takes too much work over this text")
        if found:
            following = self._found
        else:
            following = self._state(frozenset(places), self._kind(character) if self._looks_around else 0)
        self._cached += 1
        if self._cached > MOST_CACHED:
            for known in self._states.values():
                known.clear()
            self._states.clear()
            self._cached = 0
        state[symbol] = following
        return following

    def _state(self, places: frozenset[int], before: int) -> _State:
        state = self._states.get((places, before))
        if state is None:
            state = self._states[places, before] = _State(self, places, before)
        return state

    @staticmethod
    def _kind(character: str) -> int:
        kind = _NEWLINE if character == "\n" else 0
        if _is_word(character):
            kind |= _WORD | (_ASCII_WORD if _is_ascii_word(character) else 0)
        return kind

    # Making the steps, the last first

    def _add(self, test: Any, holds: Any, then: tuple[int, ...]) -> int:
        if len(self._next) >= LARGEST:
            raise ExpressionError(f"it has more than {LARGEST:,} steps, its repetitions written out")
        self._tests.append(test)
        self._holds.append(holds)
        self._next.append(then)
        return len(self._next) - 1

    def _sequence(self, items: Any, flags: int, then: int) -> int:
        for kind, value in reversed(list(items)):
            if kind.name in _REFUSED:
                raise ExpressionError(f"{_REFUSED[kind.name]} can't be searched for in bounded time")
            if kind.name == "BRANCH":
                then = self._add(None, None, tuple(self._sequence(each, flags, then) for each in value[1]))
            elif kind.name == "SUBPATTERN":
                _, more, less, body = value
                kept = flags & ~_TYPES if more & _TYPES else flags
                then = self._sequence(body, (kept | more) & ~less, then)
            elif kind.name in _REPEATS:
                then = self._repeat(value, flags, then)
            elif kind.name == "AT":
                self._looks_around = True
                then = self._add(None, _place_test(value.name, flags), (then,))
            else:
                then = self._add(self._test((kind, value), flags), None, (then,))
        return then

    def _repeat(self, value: Any, flags: int, then: int) -> int:
        least, most, body = value
        if most == _parser.MAXREPEAT:
            entry = self._add(None, None, ())
            self._next[entry] = (self._sequence(body, flags, entry), then)
        else:
            entry = then
            for _ in range(most - least):
                once = self._sequence(body, flags, entry)
                if once == entry:  # of nothing
                    break
                entry = self._add(None, None, (once, then))
        for _ in range(least):
            once = self._sequence(body, flags, entry)
            if once == entry:
                break
            entry = once
        return entry

    def _test(self, item: Any, flags: int) -> Callable[[str], object]:
        key = id(item[1]) if isinstance(item[1], list) else item, flags
        if key not in self._known:
            alone = _parser.SubPattern(self._whole._head, [item])  # noqa: SLF001  # its own
            whole = self._whole.compile([(_parser.SUBPATTERN, (None, flags & (_OWN | _TYPES), _OWN & ~flags, alone))])
            self._known[key] = whole.match
        test: Callable[[str], object] = self._known[key]
        return test


def _place_test(name: str, flags: int) -> Callable[[int, str], bool]:
    """Return what tells whether something holds at a place, by what stands before and behind it."""
    by_line = bool(flags & re.MULTILINE)
    word = _ASCII_WORD if flags & re.ASCII else _WORD
    is_word = _is_ascii_word if flags & re.ASCII else _is_word

    def at_boundary(before: int, behind: str) -> bool:
        return bool(before & word) != (is_word(behind) is not None)

    def at_beginning(before: int, _: str) -> bool:
        return bool(before & (_START | _NEWLINE if by_line else _START))

    def at_end(_: int, behind: str) -> bool:
        return behind in (_END, _LAST_NEWLINE) or (by_line and behind == "\n")

    return {
        "AT_BEGINNING": at_beginning,
        "AT_BEGINNING_STRING": lambda before, _: bool(before & _START),
        "AT_END": at_end,
        "AT_END_STRING": lambda _, behind: behind == _END,
        "AT_BOUNDARY": at_boundary,
        "AT_NON_BOUNDARY": lambda before, behind: (
            not at_boundary(before, behind) and not (before & _START and behind == _END)
        ),
    }[name]
