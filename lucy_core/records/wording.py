"""What a line's text has to be like: templates and patterns, and what surely stands in a line that fits. Sans-IO.

A template is a text with variables: `peer $peer banned`. It fits the template itself, which is what software logs that
keeps the variables apart, and any text that has something in their places. A variable begins as names do, with a letter
or `_`: `$5` is an amount of money.
"""

import importlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, final

_parser: Any = importlib.import_module("re._parser")
_VARIABLE = re.compile(r"\$(?:\{([^\W\d]\w*)\}|([^\W\d]\w*))")
_SAFE = re.compile(r"[A-Za-z0-9 _.,:;()\[\]{}#@%*!?~^|$-]+")
"""Characters that every format spells as they are: no quote, no backslash, none that HTML or JSON writers escape.

Java's Gson escapes `=`, and .NET `+`."""
LEAST = 2
"""How many characters must stand in a line for a search to be worth it."""


def safe_run(text: str) -> str:
    """Return the longest part of a text that stands in a line of any format as it is; empty where none is worth it."""
    run = max(_SAFE.findall(text), key=len, default="")
    return run if len(run) >= LEAST else ""


def filled_in(template: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return a template with values in the places of its variables, and which it has places for; others stay."""
    used: set[str] = set()

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        used.add(name)
        return values.get(name, found[0])

    return _VARIABLE.sub(value, template), used


@final
class Template:
    """A text with variables."""

    __slots__ = ("_match", "literal", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        pieces: list[str] = []
        literals: list[str] = []
        seen: set[str] = set()
        at = 0
        for found in _VARIABLE.finditer(text):
            literals.append(text[at : found.start()])
            name = found[1] or found[2]
            is_new = name not in seen and name.isidentifier()
            pieces += (re.escape(literals[-1]), f"(?P<{name}>.*?)" if is_new else ".*?")
            seen.add(name)
            at = found.end()
        literals.append(text[at:])
        pieces.append(re.escape(literals[-1]))
        self.literal = max(map(safe_run, literals), key=len)
        """What surely stands in a line that fits; empty where nothing does."""
        self._match = re.compile("".join(pieces), re.DOTALL).fullmatch if at else None

    @property
    def has_variables(self) -> bool:
        return self._match is not None

    def variables(self, text: str) -> dict[str, str] | None:
        """Return what a text has in the variables' places; empty for the template itself, None where it doesn't fit."""
        if text == self.text:
            return {}
        if self._match is None or self.literal not in text:  # a look costs a tenth of a match
            return None
        found = self._match(text)
        return None if found is None else found.groupdict()


@final
class Pattern:
    """A regular expression, to be found anywhere in a text; its named groups are variables."""

    __slots__ = ("_search", "literals", "text")

    def __init__(self, pattern: str | re.Pattern[str]) -> None:
        """Compile it, if it isn't.

        Raises:
            re.error, RecursionError, OverflowError: it is no regular expression.
        """
        compiled = re.compile(pattern)
        self.text = compiled.pattern
        self._search = compiled.search
        self.literals = _literals_of(compiled)
        """One of these surely stands in a line that fits; none where nobody can say."""

    def variables(self, text: str) -> dict[str, str] | None:
        """Return what the named groups matched; None where the pattern isn't found."""
        for literal in self.literals:  # a look costs a tenth of a search
            if literal in text:
                break
        else:
            if self.literals:
                return None
        found = self._search(text)
        if found is None:
            return None
        return {name: value for name, value in found.groupdict().items() if value is not None}


@lru_cache(maxsize=256)
def _literals_of(pattern: re.Pattern[str]) -> tuple[str, ...]:
    if pattern.flags & re.IGNORECASE:
        return ()
    return _surely_in(_parser.parse(pattern.pattern, pattern.flags & re.VERBOSE))


def _surely_in(items: Any) -> tuple[str, ...]:
    """Return what each match has, or, where it only has one of several, all of these."""
    runs: list[str] = [""]
    _gather(items, runs)
    longest = max(map(safe_run, runs), key=len)
    if longest:
        return (longest,)
    for kind, value in items:
        found: list[tuple[str, ...]] = []
        match kind.name:
            case "BRANCH":
                found = [_surely_in(each) for each in value[1]]
            case "SUBPATTERN" if not (value[1] & re.IGNORECASE or value[2]):
                found = [_surely_in(value[3])]
            case _:
                pass
        if found and all(found):
            return tuple(dict.fromkeys(each for several in found for each in several))
    return ()


def _gather(items: Any, runs: list[str]) -> None:
    """Gather the runs of characters that every match has, in order; the last may go on."""
    for kind, value in items:
        match kind.name:
            case "LITERAL":
                runs[-1] += chr(value)
            case "SUBPATTERN":
                _, more, less, body = value
                if more & re.IGNORECASE or less:
                    runs += ("", "")
                else:
                    _gather(body, runs)
            case "MAX_REPEAT" | "MIN_REPEAT" if value[0] > 0:
                _gather(value[2], runs)
                runs.append("")
            case "AT":
                pass
            case _:
                runs.append("")
