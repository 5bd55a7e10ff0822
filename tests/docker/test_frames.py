"""Demultiplexing the Engine's framed stream."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lucy_engines.docker.api.frames import STDERR, STDOUT, FrameDecoder, FrameError

parts = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(max_size=40)), max_size=12)


def frame(stream: int, data: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


@given(parts, st.lists(st.integers(min_value=0)))
@example([(STDOUT, b""), (STDERR, b"x")], [])
def test_any_chunking_gives_the_same_bytes_of_each_stream_in_order(written, cuts) -> None:
    decoder = FrameDecoder()

    got = [part for chunk in chunks(b"".join(frame(*each) for each in written), cuts) for part in decoder.feed(chunk)]

    def unframed(items) -> list[tuple[int, int]]:
        return [(stream, byte) for stream, data in items for byte in data]

    assert unframed(got) == unframed(written)
    assert decoder.feed(frame(STDOUT, b"next")) == [(STDOUT, b"next")]


def test_a_large_frame_is_handed_on_before_it_is_whole() -> None:
    decoder = FrameDecoder()

    got = decoder.feed(frame(STDERR, b"x" * 100_000)[:1000])

    assert got == [(STDERR, b"x" * 992)]
    assert decoder.feed(b"yz") == [(STDERR, b"yz")]


@pytest.mark.parametrize("noise", (b"{}\n and more", b"\x03\0\0\0\0\0\0\1x", b"\1\0\0\1\0\0\0\1x"))
def test_what_is_no_framed_stream_is_refused(noise: bytes) -> None:
    with pytest.raises(FrameError, match="no frame begins with"):
        FrameDecoder().feed(noise)
