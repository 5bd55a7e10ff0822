"""RxPY's operators on a stream give what they give in RxPY's own tests: the same items, at the same times, no thread.

Each operator runs twice over the same two sources: on RxPY's `TestScheduler`, whose word on an operator is the
library's own, and as a step of a `Stream` on a loop in virtual time. One that subscribed a turn late would miss items,
one that took time elsewhere would start a thread. Where two things are due at the very same moment the two may order
them differently, so nothing here is.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import reactivex
from reactivex import Observable, Subject, operators
from reactivex.testing import ReactiveTest, TestScheduler

import lucy_core as lucy
from lucy_core import testing
from lucy_core.delivery.streams import Stream

Step = Callable[[Observable[Any]], Observable[Any]]
COUNT = 6


def same(value: Any) -> Any:
    return value


def inner(value: Any) -> Observable[Any]:
    return reactivex.of(value, value)


def lists(window: Observable[Any]) -> Observable[Any]:
    return window.pipe(operators.to_list())


def then(*steps: Any) -> Step:
    return operators.compose(*steps)


def after(seconds: float) -> Callable[..., Observable[Any]]:
    return lambda *_: reactivex.timer(seconds)


def times(count: int) -> Callable[[object], bool]:
    """Hold so often and no more: a source that has ended could be begun again for ever."""
    held = iter([True] * count)
    return lambda _: next(held, False)


def failing_at_two(value: int) -> Observable[int]:
    return reactivex.throw(ValueError("two")) if value == 2 else reactivex.of(value)


OPERATORS: dict[str, Callable[[Observable[Any]], Step]] = {
    "all": lambda _: operators.all(lambda n: n < 9),
    "amb": lambda _: operators.amb(reactivex.never()),
    "average": lambda _: operators.average(),
    "buffer": operators.buffer,
    "buffer_toggle": lambda other: operators.buffer_toggle(other, after(1.9)),
    "buffer_when": lambda _: operators.buffer_when(after(1.9)),
    "buffer_with_count": lambda _: operators.buffer_with_count(2),
    "buffer_with_time": lambda _: operators.buffer_with_time(2.3),
    "buffer_with_time_or_count": lambda _: operators.buffer_with_time_or_count(2.3, 2),
    "catch": lambda _: then(operators.flat_map(failing_at_two), operators.catch(reactivex.of(9))),
    "combine_latest": operators.combine_latest,
    "concat": lambda other: then(operators.take(2), operators.concat(other)),
    "concat_map": lambda _: operators.concat_map(inner),
    "debounce": lambda _: operators.debounce(0.5),
    "delay": lambda _: operators.delay(1.4),
    "delay_subscription": lambda _: operators.delay_subscription(2.3),
    "delay_with_mapper": lambda _: operators.delay_with_mapper(after(1.4)),
    "distinct": lambda _: operators.distinct(lambda n: n // 2),
    "do_while": lambda _: then(operators.take(2), operators.do_while(times(1))),
    "element_at": lambda _: operators.element_at(2),
    "exclusive": lambda _: then(operators.map(after(1.4)), operators.exclusive()),
    "expand": lambda _: operators.expand(lambda n: reactivex.of(n * 10) if n < 10 else reactivex.empty()),
    "flat_map": lambda _: operators.flat_map(inner),
    "flat_map_latest": lambda _: operators.flat_map_latest(inner),
    "fork_join": operators.fork_join,
    "group_by": lambda _: then(operators.group_by(lambda n: n % 2), operators.flat_map(same)),
    "group_by_until": lambda _: then(
        operators.group_by_until(lambda n: n % 2, None, after(2.9)), operators.flat_map(same)
    ),
    "group_join": lambda other: then(
        operators.group_join(other, after(0.9), after(0.9)), operators.flat_map(lambda pair: pair[1])
    ),
    "join": lambda other: operators.join(other, after(0.9), after(0.9)),
    "last": lambda _: operators.last(),
    "materialize": lambda _: then(operators.materialize(), operators.dematerialize()),
    "merge": operators.merge,
    "merge_all": lambda _: then(operators.map(inner), operators.merge_all()),
    "on_error_resume_next": lambda other: then(operators.take(2), operators.on_error_resume_next(other)),
    "pairwise": lambda _: operators.pairwise(),
    "publish": lambda _: then(operators.publish(), operators.ref_count()),
    "publish_value": lambda _: then(operators.publish_value(0), operators.ref_count()),
    "repeat": lambda _: then(operators.take(2), operators.repeat(2)),
    "replay": lambda _: then(operators.replay(buffer_size=3, window=10), operators.ref_count()),
    "retry": lambda _: then(operators.flat_map(failing_at_two), operators.retry(2)),
    "sample": lambda _: operators.sample(2.3),
    "sample by another": operators.sample,
    "scan": lambda _: operators.scan(lambda total, n: total + n, 10),
    "sequence_equal": lambda _: operators.sequence_equal(reactivex.of(1, 2)),
    "share": lambda _: operators.share(),
    "skip_last_with_time": lambda _: operators.skip_last_with_time(2.3),
    "skip_until": operators.skip_until,
    "skip_until_with_time": lambda _: operators.skip_until_with_time(2.3),
    "skip_with_time": lambda _: operators.skip_with_time(2.3),
    "start_with": lambda _: operators.start_with(0),
    "switch_latest": lambda _: then(operators.map(after(0.5)), operators.switch_latest()),
    "switch_map": lambda _: operators.switch_map(after(0.5)),
    "take_last": lambda _: operators.take_last(2),
    "take_last_buffer": lambda _: operators.take_last_buffer(2),
    "take_last_with_time": lambda _: operators.take_last_with_time(2.3),
    "take_until": operators.take_until,
    "take_until_with_time": lambda _: operators.take_until_with_time(2.3),
    "take_with_time": lambda _: operators.take_with_time(2.3),
    "throttle_first": lambda _: operators.throttle_first(1.4),
    "throttle_with_mapper": lambda _: operators.throttle_with_mapper(after(0.5)),
    "throttle_with_timeout": lambda _: operators.throttle_with_timeout(0.5),
    "time_interval": lambda _: then(
        operators.time_interval(), operators.map(lambda item: (item.value, round(item.interval.total_seconds(), 1)))
    ),
    "timeout": lambda _: operators.timeout(2.3),
    "timeout to another": lambda _: operators.timeout(0.5, reactivex.of(99)),
    "timeout_with_mapper": lambda _: operators.timeout_with_mapper(after(5)(), after(5)),
    "timestamp": lambda _: then(operators.timestamp(), operators.map(lambda item: item.value)),
    "to_list": lambda _: operators.to_list(),
    "while_do": lambda _: then(operators.take(1), operators.while_do(times(3))),
    "window": lambda other: then(operators.window(other), operators.flat_map(lists)),
    "window_toggle": lambda other: then(operators.window_toggle(other, after(1.9)), operators.flat_map(lists)),
    "window_when": lambda _: then(operators.window_when(after(1.9)), operators.flat_map(lists)),
    "window_with_count": lambda _: then(operators.window_with_count(2), operators.flat_map(lists)),
    "window_with_time": lambda _: then(operators.window_with_time(2.3), operators.flat_map(lists)),
    "window_with_time_or_count": lambda _: then(operators.window_with_time_or_count(2.3, 2), operators.flat_map(lists)),
    "with_latest_from": operators.with_latest_from,
    "zip": operators.zip,
    "zip_latest": operators.zip_latest,
    "zip_with_iterable": lambda _: operators.zip_with_iterable([7, 8, 9]),
}

# When each source gives what: a number a second, and another's, negative, a quarter of a second after every other.
NUMBERS = [(float(n), n) for n in range(1, COUNT + 1)]
OTHERS = [(n + 0.25, -n) for n in range(1, COUNT + 1, 2)]
END = COUNT + 1.0
Told = list[tuple[float, str]]


def by_rxpy(step: Callable[[Observable[Any]], Step]) -> Told:
    scheduler = TestScheduler()
    began = 200  # where its subscriptions are made

    def source(items: list[tuple[float, int]]) -> Observable[Any]:
        given = [ReactiveTest.on_next(began + at, value) for at, value in items]
        return scheduler.create_hot_observable(*given, ReactiveTest.on_completed(began + END))

    numbers, others = source(NUMBERS), source(OTHERS)
    observer = scheduler.start(lambda: numbers.pipe(step(others)))
    return [(round(message.time - began, 2), plain(message.value)) for message in observer.messages]


def by_lucy(step: Callable[[Observable[Any]], Step]) -> Told:
    told: Told = []

    async def run() -> None:
        numbers: Subject[Any] = Subject()
        others: Subject[Any] = Subject()

        def tell(text: str) -> None:
            told.append((round(anyio.current_time(), 2), plain(text)))

        stop = (
            Stream(numbers)
            .pipe(step(others))
            .subscribe(
                lambda value: tell(f"OnNext({value})"),
                lambda error: tell(f"OnError({error})"),
                lambda: tell("OnCompleted()"),
            )
        )
        for at, value in sorted(NUMBERS + OTHERS):
            await anyio.sleep(at - anyio.current_time())
            (numbers if value > 0 else others).on_next(value)
        await anyio.sleep(END - anyio.current_time())
        numbers.on_completed()
        others.on_completed()
        await anyio.sleep(20)
        stop()

    testing.run(run)
    return told


def plain(message: object) -> str:
    """Spell whole numbers alike: RxPY's notifications show theirs as floats."""
    text = str(message).replace("True", "1").replace("False", "0")
    return re.sub(r"(?<=\d)\.0\b", "", text)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_gives_on_a_stream_what_rxpy_says_and_starts_no_thread(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    expected = by_rxpy(OPERATORS[name])
    monkeypatch.setattr(threading.Thread, "start", note)
    assert by_lucy(OPERATORS[name]) == expected
    assert started == []


@pytest.mark.parametrize(
    ("step", "kind"), ((operators.to_future(), "Future"), (operators.partition(bool), "list")), ids=("future", "list")
)
def test_a_step_that_gives_no_stream_is_refused_by_its_place(step: Any, kind: str) -> None:
    async def run() -> None:
        with pytest.raises(lucy.OperatorError, match=f"step 2 of pipe can't be used on a stream: it gives a {kind}"):
            lucy.from_items([1]).pipe(operators.map(same), step)

    testing.run(run)


AT_ONCE = (
    *("amb", "catch", "combine_latest", "concat", "concat_map", "do_while", "expand", "flat_map", "flat_map_latest"),
    *("fork_join", "group_by", "merge", "merge_all", "on_error_resume_next", "pairwise", "publish", "publish_value"),
    *("repeat", "retry", "sample by another", "scan", "sequence_equal", "share", "skip_until", "start_with"),
    *("take_until", "while_do", "window", "with_latest_from", "zip", "zip_latest", "zip_with_iterable"),
)


@pytest.mark.parametrize("name", AT_ONCE)
def test_an_operator_hears_what_comes_in_the_turn_of_the_subscription(name: str) -> None:
    def give(subscribe: Callable[[Observable[Any], Callable[[Any], None]], object]) -> list[Any]:
        numbers: Subject[Any] = Subject()
        others: Subject[Any] = Subject()
        got: list[Any] = []
        subscribe(numbers.pipe(OPERATORS[name](others)), got.append)
        for _, value in sorted(NUMBERS + OTHERS):
            (numbers if value > 0 else others).on_next(value)
        numbers.on_completed()
        others.on_completed()
        return got

    async def on_the_loop() -> list[Any]:
        return give(lambda observable, take: Stream(observable).subscribe(take))

    expected = give(lambda observable, take: observable.subscribe(take))
    assert testing.run(on_the_loop) == expected
