"""Questions under way: each waits for the answer of its number, or for the end of whoever was to give it."""

from typing import Generic, TypeVar, final

import anyio

A = TypeVar("A")


@final
class Call(Generic[A]):
    """A question. Whoever gives up waiting for its answer undoes nothing."""

    __slots__ = ("answer", "done", "number", "op")

    def __init__(self, number: int, op: str) -> None:
        self.number = number
        self.op = op
        """What is asked."""
        self.done = anyio.Event()
        """Set once it is answered, or never will be."""
        self.answer: A | None = None


@final
class Calls(Generic[A]):
    """All questions to one that answers by number. Bounded by what is asked: each is forgotten with its answer."""

    __slots__ = ("_calls", "ended")

    def __init__(self) -> None:
        self._calls: dict[int, Call[A]] = {}
        self.ended = False
        """Whether nobody answers any more."""

    def begin(self, number: int, op: str) -> Call[A]:
        """Return a new question; it is done at once where nobody answers any more."""
        call: Call[A] = Call(number, op)
        if self.ended:
            call.done.set()
        else:
            self._calls[number] = call
        return call

    def settle(self, number: int, answer: A) -> None:
        """Answer a question; that nobody asks it, or asks it any more, is no error."""
        call = self._calls.pop(number, None)
        if call is not None:
            call.answer = answer
            call.done.set()

    def end(self) -> None:
        """Let all go that wait, without an answer."""
        self.ended = True
        while self._calls:
            self._calls.popitem()[1].done.set()
