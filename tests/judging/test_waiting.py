"""One wait as a plain object: positions and arrival times go in, a verdict stands. No loop, no clock."""

import asyncio
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.judging.conditions.condition import Progress, Verdict
from lucy_core.judging.conditions.lives import Lives
from lucy_core.judging.durations import NS, Clock
from lucy_core.judging.waiting import Limits, Wait, limits
from lucy_core.records.journal import CommandEnded, NodeExited, NodePaused, NodeStarted, NodeStopped
from lucy_core.records.record import Arrived, Event, Record


@lucy.event(ids="w.ping")
class Ping(msgspec.Struct, frozen=True):
    n: int = 0


@lucy.event(ids="w.pong")
class Pong(msgspec.Struct, frozen=True):
    n: int = 0


RECORD = Record(raw=b"m", text="m")
History = list[Event[Any]]


def history(*steps: tuple[float, str, Any]) -> History:
    """Events at seconds from the wait's begin, of a node."""
    return [Event(node, position, round(at * NS), RECORD, data) for position, (at, node, data) in enumerate(steps)]


def judge(
    condition: Any,
    events: History,
    *,
    start: int = 0,
    soft: float | None = None,
    hard: float | None = None,
    lasting: bool = False,
    until: float | None = None,
    nodes: tuple[str, ...] = ("a", "b"),
) -> Wait:
    def ns(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * NS)

    wait = Wait(
        condition, Lives(), Limits(began_ns=0, soft_ns=ns(soft), hard_ns=ns(hard), lasting=lasting), start, nodes
    )
    for event in events:
        wait.take(event)
    wait.begin()
    if until is not None:
        wait.pass_time(round(until * NS))
    return wait


def test_an_event_counts_up_to_the_limit_and_no_later() -> None:
    for at, passes in ((1.999, True), (2.0, True), (2.001, False)):
        wait = judge(lucy.seen(Ping), history((at, "a", Ping())), hard=2, until=10)
        assert (wait.has_come_true, wait.expired) == (passes, not passes), at


def test_it_is_late_by_arrival_and_not_by_when_it_was_looked_at() -> None:
    in_time = judge(lucy.seen(Ping), history((1, "a", Ping())), soft=2, hard=9, until=8)
    too_late = judge(lucy.seen(Ping), history((3, "a", Ping())), soft=2, hard=9, until=8)
    assert (in_time.has_come_true, in_time.late, too_late.has_come_true, too_late.late) == (True, False, True, True)


def test_what_came_before_the_start_brings_the_state_up_and_counts_for_nothing() -> None:
    events = history((-2, "lucy", NodeStarted("a")), (-1, "a", Ping()), (1, "a", Ping(1)))
    wait = judge(lucy.seen(Ping), events, start=2, hard=5)
    assert [event.data.n for event in wait.evidence] == [1]

    def check(before: Lives, now: Lives) -> Progress:
        return Progress(have=before.of("a").acts + now.of("a").acts, need=2)

    condition = lucy.Condition(
        name="c", description="c", check=check, event_types=(), soft=lucy.seconds(1), hard=lucy.seconds(1)
    )
    assert judge(condition, events, start=1).has_come_true
    assert not judge(condition, events, start=0).has_come_true


def test_never_holds_for_its_time_and_is_broken_by_the_very_line() -> None:
    quiet = judge(lucy.never(Ping), history((1, "a", Pong())), hard=5, lasting=True, until=4)
    assert quiet.verdict is Verdict.PRESUMABLY_TRUE
    assert not quiet.is_over
    assert judge(lucy.never(Ping), history((5.001, "a", Ping())), hard=5, lasting=True).has_come_true
    broken = judge(
        lucy.never(Ping), history((1, "a", Pong()), (2, "b", Ping(7)), (3, "a", Ping())), hard=5, lasting=True
    )
    assert (broken.verdict, broken.decided_by) == (Verdict.FALSE, 1)
    assert isinstance(broken.failure(2 * NS, {}), lucy.ViolationError)
    assert "Ping(n=7)" in str(broken.failure(2 * NS, {}))


def test_each_of_the_four_verdicts_is_given() -> None:
    assert judge(lucy.seen(Ping), []).verdict is Verdict.PRESUMABLY_FALSE
    assert judge(lucy.seen(Ping), history((1, "a", Ping()))).verdict is Verdict.TRUE
    assert judge(lucy.never(Ping), []).verdict is Verdict.PRESUMABLY_TRUE
    assert judge(lucy.never(Ping), history((1, "a", Ping()))).verdict is Verdict.FALSE
    assert {verdict.value for verdict in Verdict} == {"true", "presumably true", "presumably false", "false"}


def test_quiet_counts_from_the_last_noise_and_is_decided_by_time_alone() -> None:
    condition = lucy.quiet(2, Ping, nodes="a")
    noise = history((1, "a", Ping()), (1.5, "b", Ping()), (3, "a", Pong()), (4, "b", Ping()))
    wait = judge(condition, noise, hard=10)
    assert wait.has_come_true
    assert wait.outcome().waited == 3.0
    assert judge(condition, [], hard=10, until=1.99).verdict is Verdict.PRESUMABLY_FALSE
    assert judge(condition, [], hard=10, until=2).has_come_true
    assert not judge(condition, history(*((n, "a", Ping()) for n in range(1, 9))), hard=8, until=20).has_come_true
    assert judge(lucy.quiet(2, Ping), history((5, "a", Ping())), hard=2, until=9).has_come_true


def test_what_lucy_notes_is_no_noise_whatever_else_is_none() -> None:
    noise = history((0.5, "a", Arrived(1)), (1, "lucy", Arrived(1)), (3, "b", Arrived(1)), (4, "a", Arrived(1)))
    assert judge(lucy.quiet(2), noise, hard=10).outcome().waited == 2.5
    assert judge(lucy.quiet(2, where=lambda event: event.node != "b"), noise, hard=10).outcome().waited == 2.5


def test_in_order_wants_each_behind_the_one_before() -> None:
    condition = lucy.in_order(lucy.seen(Ping, nodes="a"), Pong, lucy.seen(Ping, count=2))
    events = history(
        (1, "a", Pong()), (2, "a", Ping(1)), (3, "b", Ping()), (4, "b", Pong(2)), (5, "a", Ping(3)), (6, "b", Ping(4))
    )
    wait = judge(condition, events)
    assert wait.decided_by == 5
    assert [event.data.n for event in wait.evidence] == [1, 2, 3, 4]
    assert not judge(condition, events[:-1]).is_over
    assert "then 2 times Ping" in judge(condition, events[:3]).explain({})


def test_combinations_judge_their_parts() -> None:
    a, b = lucy.seen(Ping, nodes="a"), lucy.seen(Ping, nodes="b")
    one = history((1, "a", Ping()))
    both = history((1, "b", Ping()), (2, "a", Ping()))
    assert [judge(lucy.all_of(a, b), events).has_come_true for events in ([], one, both)] == [False, False, True]
    assert [judge(lucy.any_of(a, b), events).has_come_true for events in ([], one, both)] == [False, True, True]
    assert [judge(lucy.each_node(Ping), events).has_come_true for events in ([], one, both)] == [False, False, True]
    assert judge(lucy.each_node(Ping), one).progress.missing == ("b: 1 more Ping",)
    holds = lucy.all_of(lucy.never(Pong), a)
    assert holds.must_hold
    assert judge(holds, one, hard=5, lasting=True, until=5).has_come_true
    assert not judge(holds, [], hard=5, lasting=True, until=5).has_come_true
    assert judge(holds, history((1, "a", Ping()), (2, "a", Pong()))).verdict is Verdict.FALSE
    either = lucy.any_of(lucy.never(Pong), a)
    assert judge(either, history((1, "a", Pong()))).verdict is Verdict.PRESUMABLY_FALSE
    assert judge(either, history((1, "a", Pong()), (2, "a", Ping()))).verdict is Verdict.TRUE


def test_a_condition_whose_code_fails_ends_its_wait_by_name() -> None:
    def wrong(event: Event[Ping]) -> bool:
        raise ZeroDivisionError(event.data.n)

    wait = judge(lucy.seen(Ping, where=wrong), history((1, "a", Ping(3))), hard=5)
    assert wait.is_over
    error = wait.failure(NS, {})
    assert isinstance(error, lucy.ConditionError)
    assert "the condition seen failed while waiting for Ping where wrong: ZeroDivisionError: 3" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)

    def check(_before: Lives, _now: Lives) -> Progress:
        pytest.fail("mine")

    limit = lucy.seconds(1)
    condition = lucy.Condition(name="c", description="c", check=check, event_types=(), soft=limit, hard=limit)
    assert isinstance(judge(condition, []).failure(NS, {}), pytest.fail.Exception)


def test_a_cancellation_that_a_condition_raises_is_its_error_and_does_not_vanish() -> None:
    def wrong(_: Event[Ping]) -> bool:
        raise asyncio.CancelledError

    error = judge(lucy.seen(Ping, where=wrong), history((1, "a", Ping())), hard=5).failure(NS, {})
    assert isinstance(error, lucy.ConditionError)


async def later(_: Event[Any]) -> bool:
    return True


def test_what_is_no_answer_is_refused_and_counts_for_nothing() -> None:
    with pytest.raises(TypeError, match="takes a plain function, and later is async"):
        lucy.seen(Ping, where=later)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="have=nan"):
        lucy.Progress(have=math.nan, need=1)
    hidden: Any = lambda event: later(event)  # noqa: E731, PLW0108  # nobody sees that it is async
    wait = judge(lucy.seen(Ping, where=hidden), history((1, "a", Ping())))
    assert "returned a coroutine, which nobody awaits and which is always true" in str(wait.failure(NS, {}))


def test_nodes_of_lucys_own_events_are_those_that_they_tell_of() -> None:
    events = history((1, "lucy", NodeStopped("a")), (2, "lucy", CommandEnded(1, "b", "stop", 0.1, "done")))
    assert judge(lucy.seen(NodeStopped, nodes="a"), events).has_come_true
    assert not judge(lucy.seen(NodeStopped, nodes="b"), events).is_over
    assert judge(lucy.never(NodeStopped, nodes="a"), events).verdict is Verdict.FALSE
    assert judge(lucy.each_node(lucy.never(CommandEnded)), events).verdict is Verdict.FALSE


def test_only_what_was_not_seen_needs_every_line() -> None:
    either = lucy.any_of(Ping, lucy.never(Pong))
    assert not judge(either, history((1, "a", Ping()))).rests_on_absence
    assert judge(either, []).rests_on_absence
    both = lucy.all_of(Ping, lucy.never(Pong))
    assert judge(both, history((1, "a", Ping()))).rests_on_absence
    assert not judge(lucy.all_of(Ping, Pong), history((1, "a", Ping()), (2, "a", Pong()))).rests_on_absence


def test_a_condition_can_be_awaited_again_and_remembers_nothing() -> None:
    condition = lucy.all_of(lucy.seen(Ping, count=2), lucy.in_order(Ping, Pong))
    events = history((1, "a", Ping()), (2, "a", Ping()), (3, "a", Pong()))
    first = judge(condition, events)
    again = judge(condition, events)
    assert first.evidence == again.evidence
    assert not judge(condition, events[:2]).is_over


def test_the_lives_of_nodes_are_known_without_a_vocabulary() -> None:
    lives = Lives()
    for event in history((0, "lucy", NodeStarted("a")), (1, "lucy", NodePaused("a")), (2, "lucy", NodeStarted("b"))):
        lives.apply(event)
    assert (lives.of("a").running, lives.of("a").acts, lives.of("b").acts, lives.of("z").running) == (
        True,
        False,
        True,
        False,
    )
    for event in history((3, "lucy", NodeStopped("a")), (4, "lucy", NodeExited("b", "exited with code 1"))):
        lives.apply(event)
    assert (lives.of("a").running, lives.of("b").died) == (False, "exited with code 1")


# Limits


SLOTS = Clock({"slots": 2.0, "epochs": 20.0}, counted_from=100.0)


def chosen(condition: Any = None, began: float = 0.0, **given: Any) -> tuple[float | None, float | None]:
    found = limits(
        condition if condition is not None else lucy.seen(Ping),
        SLOTS,
        round(began * NS),
        **{"soft": None, "hard": None, "lasting": None, **given},
    )
    return found.seconds(found.soft_ns), found.seconds(found.hard_ns)


def test_a_limit_that_is_given_is_a_limit() -> None:
    assert chosen() == (30, 60)
    assert chosen(hard=1) == (None, 1)
    assert chosen(hard=45) == (None, 45)
    assert chosen(soft=1) == (1, 60)
    assert chosen(soft=90) == (None, 90)
    assert chosen(soft=3, hard=3) == (None, 3)
    assert chosen(soft=5, hard=3) == (None, 3)
    assert chosen(hard=0) == (None, 0)
    assert chosen(hard=math.inf) == (None, None)
    assert chosen(soft=math.inf) == (None, None)
    assert chosen(soft=math.inf, hard=5) == (None, 5)
    assert chosen(hard=10**400) == (None, None)
    assert chosen(hard=1e308) == (None, None)
    assert chosen(began=150, hard=lucy.Duration(1, "slots"))[1] == 2  # type: ignore[arg-type]


def test_slots_are_the_networks_slots() -> None:
    assert chosen(began=150, hard=lucy.mina.slots(3))[1] == 6
    assert chosen(began=90, hard=lucy.mina.slots(3))[1] == 16
    assert chosen(began=90, hard=lucy.mina.epochs(1))[1] == 30
    assert chosen(began=90, hard=5)[1] == 5


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({"hard": -1}, "hard=-1 is negative"),
        ({"soft": math.nan}, "soft=nan is not a number"),
        ({"hard": "5"}, "hard='5' is a str, no number of seconds"),
        ({"hard": True}, "hard=True is a bool"),
        ({"hard": lucy.seconds(-2)}, "is negative"),
        ({"hard": lucy.Duration("x")}, "is a str"),  # type: ignore[arg-type]
        ({"hard": lucy.Duration(1, "days")}, "there are seconds, slots, epochs"),  # type: ignore[arg-type]
        ({"lasting": 3}, "seen comes true: give hard="),
    ),
)
def test_what_is_no_limit_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(lucy.LimitError, match=said.replace("(", r"\(")):
        chosen(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({}, "give lasting=SECONDS"),
        ({"lasting": 3, "hard": 3}, "leave soft= and hard= out"),
        ({"lasting": math.inf}, "never ends"),
        ({"lasting": 1e308}, "never ends"),
        ({"lasting": -1}, "is negative"),
    ),
)
def test_what_has_to_hold_needs_a_time_to_hold_for(given: dict[str, Any], said: str) -> None:
    with pytest.raises(lucy.LimitError, match=said):
        chosen(lucy.never(Ping), **given)
    assert chosen(lucy.never(Ping), lasting=3) == (None, 3)


def test_a_network_without_slots_says_so() -> None:
    with pytest.raises(ValueError, match="this network has no slots; give seconds"):
        limits(lucy.seen(Ping), Clock(), 0, soft=None, hard=lucy.mina.slots(3), lasting=None)


@pytest.mark.parametrize(
    "make",
    (
        lambda: lucy.seen(int),
        lambda: lucy.never(int),
        lambda: lucy.quiet(1, int),
        lambda: lucy.seen(Ping, count=0),
        lambda: lucy.seen(Ping, nodes=()),
        lambda: lucy.quiet(-1),
        lambda: lucy.quiet(math.inf),
        lucy.all_of,
        lambda: lucy.any_of(3),
        lambda: lucy.in_order(lucy.never(Ping), Pong),
        lambda: lucy.each_node(lucy.seen(Ping, nodes="a")),
        lambda: lucy.Condition(
            name="c", description="c", check=lambda *_: None, event_types=(), soft=3j, hard=lucy.seconds(1)
        ),
        lambda: lucy.http_ok("a", "p", "no-slash"),
    ),
    ids=(
        "seen no type",
        "never no type",
        "quiet no type",
        "count of none",
        "no nodes",
        "negative quiet",
        "endless quiet",
        "all of nothing",
        "any of a number",
        "after never",
        "nodes twice",
        "complex limit",
        "path without a slash",
    ),
)
def test_a_condition_that_makes_no_sense_is_refused_where_it_is_made(make: Any) -> None:
    with pytest.raises((lucy.LucyError, ValueError, TypeError)):
        make()


# Any history


steps = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from("ab"), st.sampled_from((Ping(1), Ping(2), Pong(1)))), max_size=12
)


@given(steps, st.integers(0, 12), st.integers(1, 3), st.none() | st.integers(0, 20), st.integers(0, 25))
def test_seen_is_what_counting_says(raw: Any, start: int, count: int, hard: int | None, until: int) -> None:
    events = history(*sorted(raw, key=lambda step: step[0]))
    told = [event for event in events if event.arrived_ns <= until * NS]
    wait = judge(lucy.seen(Ping, count=count), told, start=start, hard=hard, until=until)

    counted = [
        event
        for event in told
        if event.position >= start and isinstance(event.data, Ping) and (hard is None or event.arrived_ns <= hard * NS)
    ]
    assert wait.has_come_true == (len(counted) >= count)
    assert wait.expired == (not wait.has_come_true and hard is not None and hard <= until)
    assert list(wait.evidence) == counted[:count]


@given(steps, st.integers(1, 6), st.integers(0, 20), st.integers(0, 25))
def test_quiet_is_what_gaps_say(raw: Any, length: int, hard: int, until: int) -> None:
    events = history(*sorted(raw, key=lambda step: step[0]))
    told = [event for event in events if event.arrived_ns <= until * NS]
    wait = judge(lucy.quiet(length, Ping), told, hard=hard, until=until)

    noise = [0, *(event.arrived_ns // NS for event in told if isinstance(event.data, Ping))]
    ends = [at + length for at, after in zip(noise, [*noise[1:], math.inf], strict=True) if after > at + length]
    found = next((end for end in ends if end <= min(hard, until)), None)
    # An event at the very end of the quiet breaks it: it arrived within.
    assert wait.has_come_true == (found is not None)
    if found is not None:
        assert wait.outcome().waited == found


@pytest.mark.parametrize("wrong", (lucy.mina.nodes_initialized, lucy.seen))
def test_a_condition_that_was_not_called_is_refused_with_what_to_do(wrong: object) -> None:
    for take in (lucy.all_of, lucy.any_of, lucy.in_order, lucy.each_node):
        with pytest.raises(TypeError, match=rf"; call it: {wrong.__name__}\(…\)$"):
            take(wrong)
