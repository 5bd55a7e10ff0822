"""A helper's end: it does what it is asked, answers, and goes on whatever it is told."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple, final

import pytest

from lucy_core.helpers.server import LATER, Outcome, Server


class Add(NamedTuple):
    first: int
    second: int


class Sum(NamedTuple):
    sum: int


class Keep(NamedTuple):
    pass


class Fail(NamedTuple):
    how: str


class Wait(NamedTuple):
    pass


@final
class Lucy:
    """Who asks, and a server that obeys her."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        self.control.settimeout(20)
        self.theirs = theirs
        self.kept: list[int] = []
        self.waiting: list[int | None] = []
        verbs = {Add: lambda add: Sum(add.first + add.second), Keep: self._keep, Fail: fail, Wait: self._wait}
        self.server = Server(theirs, verbs)

    def _keep(self, _: Keep) -> None:
        self.kept += [os.dup(fd) for fd in self.server.descriptors]

    def _wait(self, _: Wait) -> Outcome:
        self.waiting.append(self.server.number)
        return LATER

    def say(self, *lines: bytes, descriptors: tuple[int, ...] = ()) -> None:
        socket.send_fds(self.control, [b"".join(line + b"\n" for line in lines)], descriptors)

    def hear(self) -> list[dict[str, Any]]:
        assert self.server.serve()
        self.control.setblocking(False)
        try:
            return [json.loads(line) for line in self.control.recv(1 << 20).splitlines()]
        except BlockingIOError:
            return []
        finally:
            self.control.settimeout(20)


def fail(order: Fail) -> None:
    match order.how:
        case "no file":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/nowhere")
        case "value":
            raise ValueError("it can't be")
        case _:
            raise KeyError(order.how)


@pytest.fixture
def lucy() -> Iterator[Lucy]:
    lucy = Lucy()
    yield lucy
    lucy.control.close()
    lucy.theirs.close()


def test_what_is_asked_is_done_and_answered_in_order(lucy: Lucy) -> None:
    lucy.say(b'{"op":"add","id":1,"first":1,"second":2}', b'{"op":"keep"}', b'{"op":"keep","id":2}')

    assert lucy.hear() == [{"id": 1, "sum": 3}, {"id": 2}]


def test_what_can_not_be_done_is_answered_in_words(lucy: Lucy) -> None:
    wrong = {
        b'{"op":"dance","id":1}': "no command is called 'dance'",
        b'{"op":"add","id":2,"first":1}': "'add' needs 'second'",
        b'{"op":"add","id":3,"first":1,"second":"2"}': "'add' takes no second='2': it is no whole number",
        b'{"op":"fail","id":4,"how":"no file"}': "No such file or directory: /nowhere",
        b'{"op":"fail","id":5,"how":"value"}': "it can't be",
        b'{"op":"fail","id":6,"how":"else"}': "KeyError: 'else'",
    }
    lucy.say(*wrong)

    assert [reply["error"] for reply in lucy.hear()] == list(wrong.values())


def test_what_wants_no_answer_gets_none_and_what_is_no_request_always_does(lucy: Lucy) -> None:
    lucy.say(b'{"op":"dance"}', b"garbage", b'{"id":7,"sum":1}')

    replies = lucy.hear()
    assert [reply["id"] for reply in replies] == [None, 7]
    assert "is no command" in replies[1]["error"]


def test_what_is_answered_later_is_answered_by_its_number(lucy: Lucy) -> None:
    lucy.say(b'{"op":"wait","id":5}', b'{"op":"keep","id":6}')
    assert lucy.hear() == [{"id": 6}]

    lucy.server.reply(5, Outcome(Sum(9)))
    lucy.server.notify(Sum(10))
    assert lucy.hear() == [{"id": 5, "sum": 9}, {"notice": "sum", "sum": 10}]
    assert lucy.waiting == [5]


def test_descriptors_go_to_the_request_that_they_came_with_and_to_no_other(lucy: Lucy) -> None:
    ends = os.pipe()
    lucy.say(b'{"op":"dance","id":1,"fds":1}', b'{"op":"keep","id":2,"fds":1}', descriptors=ends)
    assert lucy.hear()[1] == {"id": 2}
    os.close(ends[1])
    (kept,) = lucy.kept
    os.write(kept, b"x")
    os.close(kept)
    assert os.read(ends[0], 2) == b"x"
    assert os.read(ends[0], 1) == b""  # the server has closed its own

    lucy.say(b'{"op":"keep","id":3,"fds":1}')
    assert lucy.hear() == [{"id": 3, "error": "1 descriptors have to come with it"}]
    # Of these nobody has said anything.
    more = os.pipe()
    lucy.say(b'{"op":"keep","id":4}', descriptors=more[1:])
    assert lucy.hear() == [{"id": 4}]
    os.close(more[1])
    lucy.say(b'{"op":"keep","id":5}')
    assert lucy.hear() == [{"id": 5}]
    assert os.read(more[0], 1) == b""
    os.close(more[0])
    os.close(ends[0])


def test_it_never_waits_for_a_lucy_who_takes_nothing(lucy: Lucy) -> None:
    asked = 0
    while not lucy.server.backlog:
        lucy.say(b'{"op":"fail","id":1,"how":"%b"}' % (b"x" * 10_000))
        assert lucy.server.serve()
        asked += 1
    answers = b""
    while answers.count(b"\n") < asked:
        answers += lucy.control.recv(1 << 20)
        lucy.server.flush()
    assert lucy.server.backlog == 0


def test_that_lucy_has_hung_up_is_the_end(lucy: Lucy) -> None:
    lucy.say(b'{"op":"keep","id":1}')
    lucy.control.shutdown(socket.SHUT_WR)

    assert lucy.hear() == [{"id": 1}]
    assert not lucy.server.serve()
