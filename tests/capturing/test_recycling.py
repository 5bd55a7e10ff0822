"""Giving memory back behind a recording: what was read, once enough came after it, and never a byte of the file."""

import os
from pathlib import Path

import pytest

from lucy_core.capturing.recorder import recycling
from lucy_core.capturing.recorder.recycling import KEPT_BYTES, STRIDE_BYTES, Recycler

KEPT = KEPT_BYTES // STRIDE_BYTES


class Advice:
    """What the kernel would hear, and a recycler whose thread is the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[tuple[int, int]] = []
        self.recycler = Recycler()
        monkeypatch.setattr(recycling, "threading", self)
        monkeypatch.setattr(recycling, "_give_up", lambda stride: self.heard.append(stride[:2]))

    def Thread(self, **_: object) -> "Advice":  # noqa: N802  # it stands in for a class
        return self

    def start(self) -> None:
        pass

    def work(self) -> list[tuple[int, int]]:
        """Do what the thread has to do; return what the kernel heard of it."""
        told = self.recycler._told
        self.heard = []
        while told is not None and not told.empty():
            self.recycler._advise(told.get())
        return self.heard


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    return Advice(monkeypatch)


def test_a_small_recording_is_left_alone(advice: Advice) -> None:
    advice.recycler.wrote(3, STRIDE_BYTES - 1, 10)
    assert advice.recycler._told is None
    assert advice.work() == []


def test_each_whole_stride_is_told_once(advice: Advice) -> None:
    advice.recycler.wrote(3, STRIDE_BYTES + 5, 10)
    assert advice.work() == [(3, 0)]
    advice.recycler.wrote(3, 2 * STRIDE_BYTES - 1, 20)
    assert advice.work() == []
    advice.recycler.wrote(3, 4 * STRIDE_BYTES, 30)
    advice.recycler.wrote(4, STRIDE_BYTES, 40)
    assert advice.work() == [(3, STRIDE_BYTES), (3, 2 * STRIDE_BYTES), (3, 3 * STRIDE_BYTES), (4, 0)]


def test_what_nobody_has_read_stays_in_memory(advice: Advice) -> None:
    for number in range(1, 3 * KEPT):
        advice.recycler.wrote(3, number * STRIDE_BYTES, number)
        assert advice.work() == [(3, (number - 1) * STRIDE_BYTES)]


def test_what_was_read_is_given_up_once_enough_came_after_it(advice: Advice) -> None:
    recycler = advice.recycler
    for number in range(1, KEPT + 1):
        recycler.seen = number
        recycler.wrote(3, number * STRIDE_BYTES, number)
        assert advice.work() == [(3, (number - 1) * STRIDE_BYTES)]
    recycler.wrote(3, (KEPT + 1) * STRIDE_BYTES, KEPT + 1)
    assert advice.work() == [(3, KEPT * STRIDE_BYTES), (3, 0)]
    recycler.seen = 2
    recycler.wrote(3, (KEPT + 3) * STRIDE_BYTES, KEPT + 3)
    assert advice.work() == [(3, (KEPT + 1) * STRIDE_BYTES), (3, STRIDE_BYTES), (3, (KEPT + 2) * STRIDE_BYTES)]


def test_advice_takes_no_byte_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = os.urandom(STRIDE_BYTES + 12_345)
    with path.open("wb") as log:
        log.write(data)
        log.flush()
        for _ in range(3):
            recycling._give_up((log.fileno(), 0, 1))
    assert path.read_bytes() == data


def test_a_descriptor_that_takes_no_advice_is_no_error() -> None:
    reading, writing = os.pipe()
    recycling._give_up((writing, 0, 1))
    os.close(reading)
    os.close(writing)
