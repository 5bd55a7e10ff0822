"""What a command in a node writes, kept or handed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.engine.execution import WORDS_BYTES, ExecResult, Output, Transcript, Written
from lucy_core.errors import OutputLimitError

PIECES = st.lists(st.tuples(st.sampled_from(Output), st.binary(max_size=50)), max_size=30)


@given(PIECES)
def test_all_that_was_written_is_kept_in_its_order_however_it_was_cut(pieces: list[tuple[Output, bytes]]) -> None:
    transcript = Transcript("a", ["cat"], limit=10_000)
    for output, data in pieces:
        transcript.take(Written(output, data))

    stdout, stderr = (b"".join(data for other, data in pieces if other is output) for output in Output)
    assert transcript.result(3) == ExecResult(3, stdout, stderr)


def test_what_is_beyond_the_limit_is_an_error_and_no_shorter_answer() -> None:
    transcript = Transcript("a", ["cat"], limit=10)
    transcript.take(Written(Output.STDOUT, b"12345"))
    transcript.take(Written(Output.STDERR, b"12345"))

    with pytest.raises(OutputLimitError, match=r"node 'a': cat wrote more than 10 bytes and was killed; .*output="):
        transcript.take(Written(Output.STDOUT, b"1"))


def test_what_is_handed_on_is_not_kept_and_has_no_limit() -> None:
    taken: list[Written] = []
    transcript = Transcript("a", ["cat"], limit=1, hand_on=taken.append)
    for number in range(100):
        transcript.take(Written(Output.STDOUT, b"%d" % number * 1000))

    assert taken == [Written(Output.STDOUT, b"%d" % number * 1000) for number in range(100)]
    assert transcript.result(0) == ExecResult(0, b"", b"")
    assert sum(map(len, transcript._first.values())) + sum(map(len, transcript._last.values())) <= 4 * WORDS_BYTES


def test_a_taker_that_returns_a_promise_is_refused() -> None:
    async def take(written: Written) -> None: ...

    with pytest.raises(TypeError, match="nobody awaits"):
        Transcript("a", ["cat"], limit=1, hand_on=take).take(Written(Output.STDOUT, b"x"))  # type: ignore[arg-type]


def test_the_journal_has_the_beginning_of_each_output_and_how_long_it_was() -> None:
    transcript = Transcript("a", ["cat"], limit=1 << 20)
    transcript.take(Written(Output.STDOUT, b"x" * 100_000))
    transcript.take(Written(Output.STDERR, b"oops\xff\n"))

    assert transcript.summary(1) == {"code": 1, "stdout": "x" * WORDS_BYTES, "stderr": "oops\\xff\n"}
    assert transcript.unsaid == 100_000 - WORDS_BYTES
    assert transcript.last_words == "oops\N{REPLACEMENT CHARACTER}"
