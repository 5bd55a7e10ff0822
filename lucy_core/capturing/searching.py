"""Looking for bytes among bytes, in place: a text, and how many lines end. Standard library only, as capture loads it.

Two searches do the same. `BYTES` does with what `bytes` can. `stringzilla`, of the extra `fast`, uses the vector units
of the processor: it finds a text in a tenth of the time and counts lines in a third. A search that misses loses an
event without a word, so nobody takes it on trust: only a release is used that was tried (`_MAJOR`), it must agree with
`BYTES` on a sample before it is used at all, tests hold both against each other on random bytes, and a run's audit
counts what it had to find.

`LUCY_SEARCH` in the environment says which is used, `bytes` or `stringzilla`; without it, the faster one that is there.
"""

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from importlib.machinery import ExtensionFileLoader
from typing import Any, final

VARIABLE = "LUCY_SEARCH"
Data = bytes | bytearray | memoryview
_LIBRARY = "stringzilla"
_MAJOR = "5."
SPAN = 29_000
"""In how many bytes a text is looked for at a time. In less than 30,000 `bytes.find` takes 5 to 15 % less for a short
text, for it doesn't guard against data that nearly has the text again and again."""


@final
class Search:
    """One way to look for bytes."""

    __slots__ = ("count", "find", "most", "name")

    def __init__(
        self,
        name: str,
        find: Callable[[bytes | bytearray, bytes, int, int], int],
        count: Callable[[Data, bytes, int, int], int],
        *,
        most: int,
    ) -> None:
        self.name = name
        self.find = find
        """Return where a text stands first between two places of some bytes, or -1."""
        self.count = count
        """Return how often a byte stands between two places."""
        self.most = most
        """For how many texts bytes are searched, one by one, where the alternative is to read every line."""


def _find(data: bytes | bytearray, text: bytes, start: int, stop: int) -> int:
    find, shared = data.find, len(text) - 1
    while shared < SPAN:
        end = start + SPAN
        if end >= stop:
            break
        found = find(text, start, end)
        if found >= 0:
            return found
        start = end - shared
    return find(text, start, stop)


def _count(data: Data, byte: bytes, start: int, stop: int) -> int:
    """Count by removing them and comparing lengths, a piece at a time: what is larger has memory that is taken anew.

    That runs on `memchr` and `memcpy`, at 9.8 GB/s; `bytes.count` of one byte is a plain loop before Python 3.13, at
    3.5.
    """
    found = 0
    while start < stop:
        some = bytes(data[start : min(start + SPAN, stop)])
        found += len(some) - len(some.replace(byte, b""))
        start += SPAN
    return found


BYTES = Search("bytes", _find, _count, most=4)


def count_lines(data: Data) -> int:
    """Count newlines."""
    return chosen().count(data, b"\n", 0, len(data))


_own: list[Search] = []


def chosen() -> Search:
    """Return the search of this process.

    Raises:
        ValueError: the environment asks for one that isn't there.
    """
    if not _own:
        use(location())
    return _own[0]


def use(path: str) -> None:
    """Have this process search by this library, which `location` has found: capture has no site packages."""
    _own[:] = [_loaded(path) or BYTES]


def location() -> str:
    """Return the file of the library that is to be used; empty for none.

    Raises:
        ValueError: the environment asks for a search that isn't there.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in {"", BYTES.name, _LIBRARY}:
        raise ValueError(f"{VARIABLE}={asked} is no search; say {BYTES.name} or {_LIBRARY}, or unset it")
    spec = None if asked == BYTES.name else importlib.util.find_spec(_LIBRARY)
    path = "" if spec is None or spec.origin is None else spec.origin
    if asked == _LIBRARY and _loaded(path) is None:
        raise ValueError(f"{VARIABLE}={asked}, and {_LIBRARY} {_MAJOR}x isn't installed: pip install 'lucy-core[fast]'")
    return path


@cache
def _loaded(path: str) -> Search | None:
    if not path:
        return None
    try:
        spec = importlib.util.spec_from_file_location(_LIBRARY, path, loader=ExtensionFileLoader(_LIBRARY, path))
        assert spec is not None  # noqa: S101  # a loader was given
        library: Any = importlib.util.module_from_spec(spec)
        assert spec.loader is not None  # noqa: S101  # see above
        spec.loader.exec_module(library)
        found = Search(_LIBRARY, library.find, library.count, most=24)
        return found if str(library.__version__).startswith(_MAJOR) and agrees(found) else None
    except (ImportError, OSError, AttributeError, TypeError, ValueError):
        return None


def agrees(search: Search) -> bool:
    """Tell whether a search does with a sample what `BYTES` does: an earlier one counted places from `start`."""
    sample = bytearray(b'{"a":1}\n\xff{"event_id":"x"}\n\x8a' * 9)
    places = [*range(0, len(sample), 23), *(sample.find(b"\xff{") + step for step in (1, 2))]
    return all(
        search.find(sample, text, start, stop) == BYTES.find(sample, text, start, stop)
        and search.count(sample, b"\n", start, stop) == BYTES.count(sample, b"\n", start, stop)
        for text in (b'"event_id"', b"\n", b"\xff{", b"nowhere")
        for start in places
        for stop in places
        if start <= stop
    )
