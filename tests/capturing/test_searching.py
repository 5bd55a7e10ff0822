"""Two searches, one result: the one by vector units is held against `bytes`, which nobody doubts."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import stringzilla

from lucy_core.capturing import searching
from lucy_core.capturing.searching import BYTES, Search, count_lines
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError

FAST = searching.Search("stringzilla", stringzilla.find, stringzilla.count, most=24)
TEXTS = (b'"event_id"', b"\n", b"\x1b", b"\\u00", b"aa", b"aab", b"64e2d3e86c37c09b", b"\xff\xfe", b"\0\0\0")
ROUNDS = 3_000


@pytest.fixture(params=stringzilla.__capabilities__)
def by_every_unit(request: pytest.FixtureRequest) -> Iterator[Search]:
    stringzilla.reset_capabilities([request.param])
    yield FAST
    stringzilla.reset_capabilities(stringzilla.__capabilities__)


def made(draw: random.Random) -> bytearray:
    """Bytes that nearly have what is looked for, again and again, of odd lengths."""
    pieces = [*TEXTS, *(text[:-1] for text in TEXTS), b"x" * draw.randrange(70), b"\x8a", b"\n\n", b"a"]
    return bytearray(b"".join(draw.choices(pieces, k=draw.randrange(60))))


def differences(search: Search, *, rounds: int, seed: int) -> list[str]:
    """Say where a search does otherwise than `bytes`: at any place of memory, behind and before other matches."""
    draw = random.Random(seed)  # noise
    found: list[str] = []
    for _ in range(rounds):
        data = made(draw)
        start = draw.randrange(len(data) + 1)
        stop = draw.randrange(start, len(data) + 1)
        text = draw.choice(TEXTS)
        at, right = search.find(data, text, start, stop), data.find(text, start, stop)
        if at != right:
            found.append(f"find {text!r} in {start}:{stop} of {bytes(data)!r}: {at}, not {right}")
        count, right = search.count(data, b"\n", start, stop), data.count(b"\n", start, stop)
        if count != right:
            found.append(f"count in {start}:{stop} of {bytes(data)!r}: {count}, not {right}")
    return found


def test_the_search_by_vector_units_finds_what_bytes_finds(by_every_unit: Search) -> None:
    assert differences(by_every_unit, rounds=ROUNDS, seed=random.randrange(1 << 30)) == []


def test_the_search_by_bytes_finds_what_bytes_finds() -> None:
    assert differences(BYTES, rounds=ROUNDS, seed=random.randrange(1 << 30)) == []


def misses_across_a_vector(data: bytes | bytearray, text: bytes, start: int, stop: int) -> int:
    found = data.find(text, start, stop)
    while found >= 0 and found % 64 > 64 - len(text):
        found = data.find(text, found + 1, stop)
    return found


def reads_beyond_the_end(data: bytes | bytearray, text: bytes, start: int, stop: int) -> int:
    return data.find(text, start, stop + 1)


def takes_other_bytes_for_newlines(data: searching.Data, _: bytes, start: int, stop: int) -> int:
    return sum(byte & 0x7F == ord("\n") for byte in data[start:stop])


@pytest.mark.parametrize(
    "faulty",
    (
        Search("faulty", misses_across_a_vector, BYTES.count, most=4),
        Search("faulty", reads_beyond_the_end, BYTES.count, most=4),
        Search("faulty", BYTES.find, takes_other_bytes_for_newlines, most=4),
    ),
    ids=("misses a match", "reads too far", "counts too much"),
)
def test_a_faulty_search_is_found_out(faulty: Search) -> None:
    for seed in range(5):
        assert differences(faulty, rounds=ROUNDS, seed=seed)


@pytest.mark.parametrize("offset", range(-12, 3))
def test_a_text_is_found_wherever_it_stands_in_large_bytes(offset: int) -> None:
    at = 2 * searching.SPAN + offset
    for text in (b'"event_id"', b"x" * (searching.SPAN + 7)):
        data = b"." * at + text + b"." * 9
        assert BYTES.find(data, text, 5, len(data)) == at
        assert BYTES.find(data, text, 5, at + len(text)) == at
        assert BYTES.find(data, text, 5, at + len(text) - 1) == -1
        assert BYTES.find(data, text, at + 1, len(data)) == -1


@pytest.mark.parametrize("kind", (bytes, bytearray, memoryview))
@pytest.mark.parametrize("search", (BYTES, FAST), ids=("bytes", "stringzilla"))
def test_lines_are_counted_in_what_holds_bytes(search: Search, kind: Callable[[bytes], searching.Data]) -> None:
    data = kind(b"\na\n\x8a\nb")
    assert [search.count(data, b"\n", start, len(data)) for start in range(len(data) + 1)] == [3, 2, 2, 1, 1, 0, 0]
    assert count_lines(data) == 3


ABSENT = "import sys; sys.modules['stringzilla'] = None"


def asked(asking: str | None, *more: str) -> subprocess.CompletedProcess[str]:
    program = "from lucy_core.capturing.searching import chosen; print(chosen().name)"
    environment = {name: value for name, value in os.environ.items() if name != searching.VARIABLE}
    if asking is not None:
        environment[searching.VARIABLE] = asking
    return subprocess.run(
        [sys.executable, "-c", "; ".join((*more, program))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("asking", "more", "name"),
    (
        (None, (), "stringzilla"),
        ("", (), "stringzilla"),
        ("stringzilla", (), "stringzilla"),
        ("bytes", (), "bytes"),
        (None, (ABSENT,), "bytes"),
    ),
)
def test_the_faster_search_is_used_that_is_there_unless_another_is_asked_for(
    asking: str | None, more: tuple[str, ...], name: str
) -> None:
    done = asked(asking, *more)
    assert (done.stdout.strip(), done.returncode) == (name, 0), done.stderr


@pytest.mark.parametrize(
    ("asking", "more", "said"),
    (
        ("grep", (), "LUCY_SEARCH=grep is no search; say bytes or stringzilla"),
        ("stringzilla", (ABSENT,), "pip install 'lucy-core[fast]'"),
    ),
)
def test_a_search_that_is_not_there_is_refused_by_name(asking: str, more: tuple[str, ...], said: str) -> None:
    assert said in asked(asking, *more).stderr


def test_a_library_that_does_otherwise_on_a_sample_is_not_used() -> None:
    assert searching.agrees(FAST)
    for faulty in (reads_beyond_the_end, lambda data, text, start, stop: data[start:stop].find(text)):
        assert not searching.agrees(Search("faulty", faulty, BYTES.count, most=4))
    assert not searching.agrees(Search("faulty", BYTES.find, takes_other_bytes_for_newlines, most=4))


@pytest.mark.parametrize(
    "open_one",
    (lambda place: Pipeline.record(place / "run"), lambda _: Pipeline.pass_through()),
    ids=("recording", "passing through"),
)
async def test_a_pipeline_says_so_where_the_environment_asks_for_a_search_that_is_none(
    open_one: Callable[[Path], AbstractAsyncContextManager[Pipeline]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_own", [])
    monkeypatch.setenv(searching.VARIABLE, "grep")
    with pytest.raises(RecordingError, match="LUCY_SEARCH=grep is no search"):
        async with open_one(tmp_path):
            pass
    assert not (tmp_path / "run").exists()
