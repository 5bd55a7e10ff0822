"""Random histories of a run against a model of it: no wait passes early, late or for ever, and nobody is left unheard.

What a run is made of comes in any order: lines, marks, waits with all kinds of conditions, starts and limits, stops,
starts and deaths, expected ones too, a loop that stands still while lines go on arriving, callbacks that raise,
concurrent tasks, the end. The model is a list of what arrived, when, and what was asked, and a plain loop over it
(`verdict`). The real thing is a network in virtual time: only capture and nodes are stand-ins (`virtual_network`).

The test must be able to find what it is for. `FAULTS` are five that are put in on purpose, one at a time:

- *delivered state*: a wait begins from what is delivered, not from what has arrived (a node just stopped counts as up);
- *lost cut-off*: a subscriber that raised is never told;
- *late mark*: the wait's place is taken after the call, not at it;
- *unarmed death*: only `start_all` arms a node's unexpected death;
- *raised limit*: a hard limit below the condition's default soft one is raised to that.

The gate runs 2,000 histories; LUCY_FUZZ_EXAMPLES=N runs N more.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import anyio
import hypothesis
import msgspec
import pytest
import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import lucy_core as lucy
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import State
from lucy_core.judging import waits
from lucy_core.judging.durations import NS
from lucy_core.network.network import Network
from lucy_core.testing import VirtualTimeLoop, virtual_network

EXAMPLES = 2000
MORE = int(os.environ.get("LUCY_FUZZ_EXAMPLES", "0"))
PARTS = 4
"""In how many tests they are run, side by side."""
STEPS = 12
NODES = ("a", "b")
TENTH = NS // 10
MOMENT = NS // 10_000
"""How far behind its limit a wait may look."""


@lucy.event(ids="j.ping")
class Ping(msgspec.Struct, frozen=True):
    n: int = 0


@lucy.event(ids="j.pong")
class Pong(msgspec.Struct, frozen=True):
    n: int = 0


# --- the model --------------------------------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """One line: when it arrived (nanoseconds), of which node, and what it says."""

    at: int
    node: str
    what: Any


class Asked(NamedTuple):
    """One wait, as it was asked for."""

    what: str
    kind: type
    node: str | None
    count: int
    start: int
    at: int
    soft: int | None
    hard: int | None


def up(history: list[Arrival]) -> set[str]:
    """The nodes that run, by what the journal says."""
    running: set[str] = set()
    for arrival in history:
        if isinstance(arrival.what, lucy.NodeStarted):
            running.add(arrival.what.node)
        elif isinstance(arrival.what, lucy.NodeStopped | lucy.NodeExited):
            running.discard(arrival.what.node)
    return running


def decided_at(asked: Asked, history: list[Arrival]) -> tuple[str, int] | None:
    """What decides a wait, and when: the plainest loop that can say it."""
    found = 0
    then: type = asked.kind
    if asked.what == "running" and asked.node in up(history[: asked.start]):
        return "passed", asked.at
    for position in range(asked.start, len(history)):
        at, node, what = history[position]
        if asked.hard is not None and at > asked.at + asked.hard:
            break
        if asked.what == "running":
            if asked.node in up(history[: position + 1]):
                return "passed", at
            continue
        if not isinstance(what, then) or (asked.node is not None and node != asked.node):
            continue
        if asked.what == "never":
            return "violated", at
        found += 1
        if asked.what == "in_order" and found == 1:
            then = Pong if asked.kind is Ping else Ping
        elif asked.what == "in_order" or found == asked.count:
            return "passed", at
    if asked.hard is None:
        return None
    return ("passed" if asked.what == "never" else "timed out"), asked.at + asked.hard


def condition_of(asked: Asked) -> Any:
    nodes = asked.node
    match asked.what:
        case "seen":
            return lucy.seen(asked.kind, nodes=nodes, count=asked.count)
        case "never":
            return lucy.never(asked.kind, nodes=nodes)
        case "in_order":
            other = Pong if asked.kind is Ping else Ping
            return lucy.in_order(lucy.seen(asked.kind, nodes=nodes), lucy.seen(other, nodes=nodes))
        case _:
            name = asked.node or NODES[0]

            def check(_before: Any, now: lucy.Lives) -> lucy.Progress:
                return lucy.Progress(have=now.of(name).running, need=1)

            return lucy.Condition(
                name="running",
                description=f"{name} to run",
                check=check,
                event_types=(),
                soft=lucy.seconds(3),
                hard=lucy.seconds(6),
            )


# --- the machine ------------------------------------------------------------------------------------------------------


class Pending(NamedTuple):
    asked: Asked
    task: "asyncio.Task[Any]"


class Watcher:
    """A subscriber that raises at its `breaks`-th item."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks
        self.got: list[int] = []
        self.told: list[Exception | None] = []

    def take(self, items: list[Any]) -> None:
        for item in items:
            self.got.append(item.position)
            if len(self.got) == self.breaks:
                raise LookupError(item.position)


class Run(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.history: list[Arrival] = []
        self.marks: list[lucy.Mark] = []
        self.waits: list[Pending] = []
        self.watchers: list[tuple[Watcher, int]] = []
        self.fatal: int | None = None
        self.over = asyncio.Event()
        self.main: asyncio.Task[None] | None = None

    # How it is driven

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize()
    def deploy(self) -> None:
        ready = asyncio.Event()

        async def main() -> None:
            async with virtual_network(*NODES, start=False, interrupt=False) as virtual:
                self.virtual = virtual
                virtual.network.pipeline.subscribe(lucy.Interest(), self.note, lambda _: None, since=0)
                ready.set()
                await self.over.wait()

        self.main = self.loop.create_task(main())
        self.do(ready.wait())
        self.settle()

    def note(self, items: list[Any]) -> None:
        """Keep the model's list: what arrived, by the recording's own word, journal included."""
        for item in items:
            data = item.data
            for kind in (Ping, Pong, lucy.NodeStarted, lucy.NodeStopped, lucy.NodeExited):
                declared = lucy.event_type(kind)
                if declared.matches(data, item.node):
                    data = declared.decode(data)
                    break
            assert item.position == len(self.history)
            self.history.append(Arrival(item.arrived_ns, item.node, data))
            if isinstance(data, lucy.NodeExited) and not data.expected and self.fatal is None:
                self.fatal = item.arrived_ns

    def now_ns(self) -> int:
        return round(self.loop.time() * NS)

    def settle(self) -> None:
        """Let everything that can happen now happen, without letting time pass."""

        async def turns() -> None:
            for _ in range(60):
                await asyncio.sleep(0)

        self.do(turns())

    @property
    def network(self) -> Network:
        return self.virtual.network

    @property
    def alive(self) -> bool:
        return self.fatal is None

    # What may happen

    @rule(
        node=st.sampled_from(NODES),
        kinds=st.lists(st.sampled_from((Ping, Pong)), min_size=1, max_size=3),
        seen=st.booleans(),
    )
    def log(self, node: str, kinds: list[type], seen: bool) -> None:
        """Lines come; the loop has looked at them by the next step, or not."""
        self.virtual.log(node, *(kind() for kind in kinds))
        if seen:
            self.settle()

    @rule(tenths=st.integers(1, 40))
    def pass_time(self, tenths: int) -> None:
        self.do(asyncio.sleep(tenths / 10))
        self.settle()

    @rule(tenths=st.integers(1, 40), node=st.sampled_from(NODES), kind=st.sampled_from((Ping, Pong)))
    def block(self, tenths: int, node: str, kind: type) -> None:
        """The loop stands still; a line comes in the middle of it."""

        async def blocked() -> None:
            self.virtual.pass_unseen(tenths / 20)
            self.virtual.log(node, kind())
            self.virtual.pass_unseen(tenths / 20)

        self.do(blocked())
        self.settle()

    @rule()
    def mark(self) -> None:
        self.marks.append(self.network.mark())

    @rule(
        what=st.sampled_from(("seen", "never", "in_order", "running")),
        kind=st.sampled_from((Ping, Pong)),
        node=st.sampled_from((None, *NODES)),
        count=st.integers(1, 3),
        since=st.none() | st.integers(0, 5),
        soft=st.none() | st.integers(0, 40),
        hard=st.none() | st.integers(0, 40),
        just=st.none() | st.sampled_from(NODES),
    )
    def wait(
        self,
        what: str,
        kind: type,
        node: str | None,
        count: int,
        since: int | None,
        soft: int | None,
        hard: int | None,
        just: str | None,
    ) -> None:
        """Somebody waits: from now, from the beginning, or from a mark. The call is made now, and looked at later.

        A line may just have arrived that nobody has seen yet.
        """
        if just is not None:
            self.virtual.log(just, kind())
        if what == "running":
            node = node or NODES[0]
        place: Any = None if since is None else 0 if since >= len(self.marks) else self.marks[since]
        default = (30, 60) if what == "running" else (300, 600)
        limits: dict[str, float] = {}
        if what == "never":
            hard, soft = 5 if hard is None else hard, None
            limits["lasting"] = hard / 10
        else:
            limits |= {} if soft is None else {"soft": soft / 10}
            limits |= {} if hard is None else {"hard": hard / 10}
            soft = default[0] if soft is None and hard is None else soft
            hard = max(default[1], soft or 0) if hard is None else hard
            soft = None if soft is None or soft >= hard else soft
        asked = Asked(what, kind, node, count, -1, self.now_ns(), None if soft is None else soft * TENTH, hard * TENTH)
        condition = condition_of(asked)
        # Everything that had arrived by now stands before it, what the loop has not yet seen too.
        arrived = self.virtual.capture.position
        start = arrived if place is None else place.position if isinstance(place, lucy.Mark) else place

        async def call() -> Any:
            return await self.network.wait_for(condition, since=place, **limits)

        task = self.loop.create_task(call())

        async def begun() -> None:
            """The call itself: a task's first turn."""
            await asyncio.sleep(0)

        self.do(begun())
        self.waits.append(Pending(asked._replace(start=start), task))

    @rule(node=st.sampled_from(NODES))
    def start(self, node: str) -> None:
        if self.alive and self.network[node].state in (State.DEPLOYED, State.STOPPED):
            self.do(self.network[node].start())

    @rule(node=st.sampled_from(NODES))
    def stop(self, node: str) -> None:
        if self.alive and self.network[node].state is State.RUNNING:
            self.do(self.network[node].stop())

    @rule(node=st.sampled_from(NODES), expected=st.sampled_from((True, True, False)))
    def die(self, node: str, expected: bool) -> None:
        if not self.alive or self.network[node].state is not State.RUNNING:
            return

        async def exit_now() -> None:
            self.virtual.exit(node)

        if expected:
            with self.network[node].expecting_exit():
                self.do(exit_now())
                self.settle()
        else:
            self.do(exit_now())
            self.settle()
            assert self.network.fatal is not None, "a death that nobody heard of"

    @rule(breaks=st.integers(1, 4), kind=st.sampled_from((Ping, Pong)), since=st.none() | st.just(0))
    def watch(self, breaks: int, kind: type, since: int | None) -> None:
        watcher = Watcher(breaks)
        start = self.network.pipeline.delivered if since is None else 0
        interest = lucy.Interest(event_types=[lucy.event_type(kind)])
        self.network.pipeline.subscribe(interest, watcher.take, watcher.told.append, since=since)
        self.watchers.append((watcher, start))
        self.kinds = {**getattr(self, "kinds", {}), id(watcher): kind}

    # What must hold

    def check_wait(self, asked: Asked, task: "asyncio.Task[Any]", now: int) -> None:
        decided = decided_at(asked, self.history)
        outcomes = set()
        certain = False
        if decided is not None and decided[1] <= now:
            outcomes.add(decided[0])
            by_time = decided[0] == ("passed" if asked.what == "never" else "timed out")
            certain = decided[1] < now - MOMENT if by_time else True
        if self.fatal is not None and (decided is None or decided[1] >= self.fatal):
            outcomes.add("fatal")
        if self.fatal is not None and decided is not None and decided[0] != "violated" and task.done():
            # Both have come while the loop stood still, or the wait was asked for after it: the death goes first.
            outcomes.add("fatal")
        if not task.done():
            assert not certain, f"{asked} goes on, though it has {outcomes} ({decided}, fatal {self.fatal}, now {now})"
            assert self.fatal is None, f"{asked} goes on, though a node has died at {self.fatal}"
            return
        assert not task.cancelled()
        error = task.exception()
        if isinstance(error, lucy.NodeExitedError):
            outcome = "fatal"
        elif isinstance(error, lucy.WaitTimeoutError):
            outcome = "timed out"
        elif isinstance(error, lucy.ViolationError):
            outcome = "violated"
        elif error is not None:
            raise error
        else:
            outcome = "passed"
        assert outcome in outcomes, f"{asked} has {outcome}, not {outcomes} ({decided}, fatal {self.fatal}, now {now})"
        if outcome == "passed" and decided is not None and asked.what != "never":
            late = asked.soft is not None and decided[1] > asked.at + asked.soft
            assert task.result().late == late, f"{asked}: late={not late}, decided {decided}"
            assert task.result().waited == max(0, decided[1] - asked.at) / NS

    @precondition(lambda self: self.main is not None)
    @rule()
    def look(self) -> None:
        self.settle()
        for pending in self.waits:
            self.check_wait(pending.asked, pending.task, self.now_ns())
        for watcher, start in self.watchers:
            kind = self.kinds[id(watcher)]
            wanted = [
                position
                for position, arrival in enumerate(self.history)
                if position >= start and isinstance(arrival.what, kind)
            ]
            assert watcher.got == wanted[: watcher.breaks]
            broke = len(wanted) >= watcher.breaks
            assert [type(error) for error in watcher.told] == [LookupError] * broke, "a cut-off that nobody was told of"

    def teardown(self) -> None:
        if self.main is None:
            self.loop.close()
            return
        try:
            self.settle()
            self.look()
            # Nobody waits for ever: the longest limit that is asked for is a minute.
            self.do(asyncio.sleep(100))
            self.look()
            assert all(pending.task.done() for pending in self.waits)
            self.over.set()
            self.do(self.end())
            assert all(watcher.told for watcher, _ in self.watchers)
        finally:
            self.over.set()
            self.do(asyncio.wait([self.main], timeout=1000))
            for task in (left := asyncio.all_tasks(self.loop)):
                task.cancel()
            if left:
                self.do(asyncio.wait(left, timeout=1000))
            self.loop.close()

    async def end(self) -> None:
        assert self.main is not None
        await asyncio.wait([self.main])
        error = self.main.exception()
        held = [each for each in self.network.judgement.errors if each.kind == "soft timeout"]
        if self.fatal is not None:
            assert isinstance(error, lucy.NodeExitedError), f"the run ended with {error!r}, though a node died"
            return
        late = [asked for asked, _ in self.waits if self.became_late(asked)]
        assert len(held) == len(late), f"{held} are held for {late}"
        wrong = bool(late) or any(watcher.told[0] for watcher, _ in self.watchers)
        assert isinstance(error, lucy.RunFailedError) if wrong else error is None, error

    def became_late(self, asked: Asked) -> bool:
        decided = decided_at(asked, self.history)
        return asked.soft is not None and (decided is None or decided[1] > asked.at + asked.soft)


def run_histories(examples: int, seed: int, *, phases: Any = tuple(hypothesis.Phase)) -> None:
    """Run histories drawn from a seed: the same ones every time, so that the gate judges the change, not the draw."""
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    # Lucy's own log has a traceback for each subscriber that raises.
    with structlog.testing.capture_logs():
        run_state_machine_as_test(hypothesis.seed(seed)(type("Run", (Run,), {})), settings=settings)


@pytest.mark.slow
@pytest.mark.blocking
@pytest.mark.timeout(600 + MORE)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_wait_passes_early_late_or_for_ever_whatever_happens(part: int) -> None:
    run_histories(-(-(EXAMPLES + MORE) // PARTS), part)


# --- the faults that it has to find -----------------------------------------------------------------------------------


@contextmanager
def put(owner: Any, name: str, fault: Any) -> Iterator[None]:
    right = getattr(owner, name)
    setattr(owner, name, fault(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def delivered_state(right: Callable[..., Any]) -> Callable[..., Any]:
    async def wrong(self: Any, node: str, lines: bytes) -> int:
        delivered = self.delivered
        position = await right(self, node, lines)
        return delivered if b"lucy.wait_started" in lines else position

    return wrong


def lost_cut_off(right: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(self: Any, subscription: Any, error: Exception) -> None:
        subscription.on_end = lambda _: None
        right(self, subscription, error)

    return wrong


def late_mark(right: Callable[..., Any]) -> Callable[..., Any]:
    async def wrong(self: Any, node: str, lines: bytes) -> int:
        if b"lucy.wait_started" in lines:
            await anyio.sleep(0.05)
        return await right(self, node, lines)

    return wrong


def unarmed_death(right: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(self: Any, error: lucy.LucyError) -> None:
        if not isinstance(error, lucy.NodeExitedError):
            right(self, error)

    return wrong


def raised_limit(right: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(condition: Any, clock: Any, began_ns: int, **given: Any) -> Any:
        found = right(condition, clock, began_ns, **given)
        soft = began_ns + round(condition.soft.count * NS)
        if given["soft"] is None and given["hard"] is not None and not found.lasting:
            return msgspec.structs.replace(found, hard_ns=max(found.hard_ns, soft))
        return found

    return wrong


FAULTS = {
    "delivered state": (Pipeline, "write", delivered_state),
    "lost cut-off": (Delivery, "_cut_off", lost_cut_off),
    "late mark": (Pipeline, "write", late_mark),
    "unarmed death": (Feed, "abort", unarmed_death),
    "raised limit": (waits, "limits", raised_limit),
}


@pytest.mark.slow
@pytest.mark.blocking
@pytest.mark.parametrize("name", tuple(FAULTS))
def test_a_fault_put_in_on_purpose_is_found(name: str) -> None:
    owner, attribute, fault = FAULTS[name]
    generate = (hypothesis.Phase.generate,)
    with put(owner, attribute, fault), pytest.raises(BaseException):  # noqa: B017  # whatever it is that breaks
        run_histories(EXAMPLES, 0, phases=generate)
