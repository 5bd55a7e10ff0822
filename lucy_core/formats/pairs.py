r"""Names with values, as text has them: `peer=a7 reason="not \"ours\"" retry`. Sans-IO.

A value is quoted, or opens a bracket and goes on to where that is closed, or ends at the next space. Quoted ones are
unescaped as Go, Rust and C quote: `\n`, `\"`, `\x7f`, `\u00e9`, `\u{e9}`. Each text is gone over once, whatever it
holds: a bracket that nobody closes is looked for only once.
"""

import re
from collections.abc import Mapping
from typing import Any

_key = re.compile(r"[A-Za-z_@#][\w.@#$*/-]*+")
_quoted = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_word = re.compile(r'[^\s"]\S*+')
_escape = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-7][0-9A-Fa-f])|([abfnrtv0\"'\\/]))"
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_turn = re.compile(r'[()\[\]{}"\s]')
_OPEN, _CLOSE = "([{", ")]}"


def unquoted(text: str) -> str:
    """Return what a text between quotes stands for; an escape that nobody knows stays as it is."""
    return _escape.sub(_meant, text) if "\\" in text else text


def _meant(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3] or found[4]
    if code is None:
        return _ESCAPES.get(found[5], found[5])
    number = int(code, 16)
    return found[0] if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)


def quoted_at(text: str, at: int) -> tuple[str, int] | None:
    """Return the quoted text that begins at a place, unescaped, and where it ends; None where none does."""
    found = _quoted.match(text, at)
    return None if found is None else (unquoted(found[1]), found.end())


def read_pairs(text: str, at: int = 0, *, bare_keys: bool = False) -> dict[str, Any] | None:
    """Read a text, from a place to its end, as pairs; None where it isn't all pairs.

    Args:
        text: what to read.
        at: where to begin.
        bare_keys: whether a key may stand alone, which is then True.
    """
    pairs: dict[str, Any] = {}
    reader = _Reader(text)
    end = len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        if at == end:
            return pairs
        read = reader.pair(at)
        if read is not None:
            name, pairs[name], at = read
            continue
        key = _key.match(text, at) if bare_keys else None
        if key is None or not (key.end() == end or text[key.end()].isspace()):
            return None
        pairs[key[0]] = True
        at = key.end()


def pairs_at_end(text: str) -> tuple[str, Mapping[str, Any]]:
    """Part a text from the pairs that it ends with, and return both."""
    at = text.find("=")
    if at < 0:
        return text.rstrip(), {}
    # No pair begins before the word with the first equals sign, and most texts are words.
    while at and not text[at - 1].isspace():
        at -= 1
    begin = len(text[:at].rstrip())
    reader = _Reader(text)
    pairs: dict[str, Any] = {}
    end = len(text)
    while at < end:
        while at < end and text[at].isspace():
            at += 1
        read = reader.pair(at) if at < end else None
        if read is not None:
            name, pairs[name], at = read
        elif at < end:
            pairs.clear()
            while at < end and not text[at].isspace():
                at += 1
            begin = at
    return text[:begin], pairs


class _Reader:
    __slots__ = ("_is_closed", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._is_closed = True
        """Whether all brackets that were looked into so far are closed somewhere."""

    def pair(self, at: int) -> tuple[str, str, int] | None:
        """Read one pair: its name, its value, and where it ends."""
        text = self._text
        key = _key.match(text, at)
        if key is None or key.end() >= len(text) or text[key.end()] != "=":
            return None
        at = key.end() + 1
        quoted = quoted_at(text, at)
        if quoted is not None:
            value, end = quoted
        else:
            end = self._end(at)
            if end < 0:
                return None
            value = text[at:end]
        return (key[0], value, end) if end == len(text) or text[end].isspace() else None

    def _end(self, at: int) -> int:
        """Return where a value that isn't quoted ends; less than 0 where there is none."""
        text = self._text
        word = _word.match(text, at)
        if word is None:
            return at if at == len(text) or text[at].isspace() else -1
        end = word.end()
        if self._is_closed and not word[0].isalnum() and any(map(word[0].__contains__, _OPEN)):
            closed = self._close(at)
            if closed is None:
                self._is_closed = False
            else:
                end = closed
        return end

    def _close(self, at: int) -> int | None:
        """Return where a value ends whose brackets have to be closed first; None where they never are."""
        text = self._text
        depth = 0
        while (found := _turn.search(text, at)) is not None:
            at = found.end()
            if found[0] == '"':
                quoted = _quoted.match(text, found.start())
                if quoted is None:
                    return None
                at = quoted.end()
            elif found[0] in _OPEN:
                depth += 1
            elif found[0] in _CLOSE:
                depth -= 1
                if depth < 0:
                    return None
            elif depth == 0:
                return found.start()
        return None if depth else len(text)
