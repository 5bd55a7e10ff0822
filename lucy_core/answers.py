"""What a test's functions have to give: an answer at once, and not a promise of one, which is always true."""

import inspect
from collections.abc import Coroutine

from lucy_core.words import called


def refuse_async(function: object, what: str) -> None:
    """Check that a function answers when it is called: what an async one returns is true, whatever it would say.

    Raises:
        TypeError: it is async.
    """
    call = getattr(function, "__call__", None)  # noqa: B004  # of an object: is that one async?
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        message = f"{what} takes a plain function, and {called(function, 'this one')} is async: nobody would await it"
        raise TypeError(message)


def refuse_coroutine(answer: object, what: str) -> None:
    """Check that what was returned is no coroutine, which does nothing unless somebody awaits it. A task is none.

    Args:
        answer: what was returned.
        what: who did so, as the sentence begins: `the callback of Ticked returned`.

    Raises:
        TypeError: it is one.
    """
    if isinstance(answer, Coroutine):
        answer.close()  # or the interpreter would warn that nobody has awaited it
        raise TypeError(f"{what} a coroutine, which nobody awaits: have a task group run it, `tasks.start_soon(…)`")


def refuse_awaitable(answer: object, what: str) -> None:
    """Check that an answer is one: a plain function may return what an async one has made.

    Args:
        answer: what was returned or given.
        what: who did so, as the sentence begins: `the predicate of first() returned`.

    Raises:
        TypeError: it has to be awaited.
    """
    if inspect.isawaitable(answer):
        if isinstance(answer, Coroutine):
            answer.close()  # or the interpreter would warn that nobody has awaited it
        message = f"{what} a {type(answer).__name__}, which nobody awaits and which is always true; give the answer"
        raise TypeError(message)
