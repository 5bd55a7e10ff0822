"""Faults as leases: each has an owner and an end.

A fault that outlives its test makes every later test lie. So a lease ends with its block, or after its time, whichever
comes first, or when its place is gone; and the engine ends it too when Lucy's loop is blocked or Lucy dead. It ends
once: who comes second finds it ended. Each of its three moments stands in the journal at a position, so that "the block
came while the two were apart" is a comparison of positions.
"""

import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, final

import anyio
import anyio.abc

from lucy_core.arguments import instance_of
from lucy_core.engine import EngineNetwork, FaultLost, Injection, NodeExit
from lucy_core.errors import FaultError, LifeCycleError, LucyError, UnsupportedError, shown
from lucy_core.faults import AnyFault, Fault, Pause
from lucy_core.judging.durations import Clock, Duration
from lucy_core.network.asking import NodeHome
from lucy_core.network.node import Node
from lucy_core.records.journal import FaultEffective, FaultRequested, FaultReverted


class LeaseEnd(enum.StrEnum):
    """Why a fault is in effect no longer."""

    ENDED = "ended"
    """Its block was left, or `end` called."""
    EXPIRED = "expired"
    """Its time was over."""
    LOST = "lost"
    """Its place is gone: what it is in died, was stopped or was removed."""
    FAILED = "failed"
    """It never came into effect."""


class Home(NodeHome, Protocol):
    """What faults need of the network that they are made in."""

    clock: Clock
    nodes: dict[str, Node]

    def fail(self, error: LucyError) -> None:
        """End the run from outside the test."""
        ...


@final
class Lease:
    """A fault in effect, until it ends. Made by `network.faults.inject`."""

    def __init__(self, number: int, fault: AnyFault, lasting: float, home: Home) -> None:
        self.number = number
        """Its id among all that happens in the run."""
        self.fault = fault
        """What is in effect."""
        self.lasting = lasting
        """Seconds after which it ends by itself."""
        self.reason: LeaseEnd | None = None
        """Why it ended; None while it is in effect."""
        self.detail = ""
        """How it was lost."""
        self.seconds = 0.0
        """For how long it was in effect, once it has ended."""
        self._home = home
        self._injection: Injection | None = None
        self._wake = anyio.Event()
        self._ended = anyio.Event()
        self._turn = anyio.Lock()
        self._failure: LucyError | None = None
        self._deadline = float("inf")

    def __repr__(self) -> str:
        return f"<lease {self.number}: {self.fault}, {self.reason or 'in effect'}>"

    @property
    def in_effect(self) -> bool:
        """Whether it hasn't ended yet."""
        return self.reason is None

    @property
    def begins(self) -> bool:
        """Whether it was asked for and isn't in effect yet."""
        return self.reason is None and self._injection is None

    async def end(self) -> None:
        """End it now; return once it is undone. Again is no error, and tries again what could not be undone.

        Isn't cancelled halfway.

        Raises:
            FaultError: it could not be undone.
        """
        await self._finish(LeaseEnd.ENDED)

    async def ended(self) -> LeaseEnd:
        """Wait until it has ended, however, and return why."""
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        assert self.reason is not None  # noqa: S101  # an invariant: set before the event
        return self.reason

    async def begin(self, network: EngineNetwork) -> None:
        """Make the fault effective. For `Faults.inject`, which shields it."""
        await self._home.journaled(FaultRequested(self.number, self.fault, self.lasting, self._home.scopes.current()))
        try:
            self._injection = await network.inject(self.fault, lasting=self.lasting, on_lost=self._gone)
        except LucyError as error:
            self.reason = LeaseEnd.FAILED
            await self._home.journaled(self._reverted(str(error)))
            raise
        self._deadline = anyio.current_time() + self.lasting
        for node in self._frozen():
            node.was_paused()
        await self._home.journaled(FaultEffective(self.number, self.fault))

    async def watch(self) -> None:
        """End it when its time is over or its place gone."""
        reason = LeaseEnd.EXPIRED
        with anyio.CancelScope(deadline=self._deadline):
            await self._wake.wait()
            reason = LeaseEnd.LOST
        if self._ended.is_set():
            return
        try:
            await self._finish(reason)
        except LucyError as error:
            self._home.fail(error)

    def exited(self, end: NodeExit) -> None:
        """Take note that a node's process ended, by itself or by a command: nothing is left of it to be frozen."""
        if isinstance(self.fault, Pause) and end.node in self.fault.nodes:
            self._gone(FaultLost(self.fault, f"{end.node} {end.how}"))

    def _gone(self, lost: FaultLost) -> None:
        if self.reason is None:
            self.detail = lost.reason
            self._wake.set()

    async def _finish(self, reason: LeaseEnd) -> None:
        with anyio.CancelScope(shield=True):
            async with self._turn:
                if self.reason is None:  # what could not be undone is tried again
                    await self._revert(reason)

    async def _revert(self, reason: LeaseEnd) -> None:
        assert self._injection is not None  # noqa: S101  # an invariant: `begin` was first
        try:
            self.seconds = await self._injection.revert()
        except LucyError as error:
            self._failure = error
            raise
        else:
            if self.detail:
                reason = LeaseEnd.LOST
            elif self.seconds >= self.lasting or anyio.current_time() >= self._deadline:
                # Whoever came first on a loop that was late: the engine had ended it already.
                reason = LeaseEnd.EXPIRED
            self.reason = reason
            for node in self._frozen():
                node.was_resumed()
            await self._home.journaled(self._reverted(self.detail))
        finally:
            self._ended.set()
            self._wake.set()

    def _frozen(self) -> list[Node]:
        return [self._home.nodes[name] for name in self.fault.nodes] if isinstance(self.fault, Pause) else []

    def _reverted(self, detail: str) -> FaultReverted:
        assert self.reason is not None  # noqa: S101  # an invariant: it has ended
        return FaultReverted(self.number, self.fault, self.reason, round(self.seconds, 3), detail)


@final
class Faults:
    """Makes faults in a network. `network.faults` is one."""

    def __init__(self, home: Home, tasks: anyio.abc.TaskGroup) -> None:
        self._home = home
        self._tasks = tasks
        self._network: EngineNetwork | None = None
        self._leases: list[Lease] = []

    @property
    def kinds(self) -> frozenset[type[Fault]]:
        """The kinds of faults that this network's engine can do."""
        return self._home.engine.faults

    @property
    def in_effect(self) -> list[Lease]:
        """The leases that haven't ended, oldest first."""
        return [lease for lease in self._leases if lease.in_effect]

    def serve(self, network: EngineNetwork) -> None:
        """Take note of the engine's network. For `Network`."""
        self._network = network

    def exited(self, end: NodeExit) -> None:
        """Take note that a node's process ended. For `Network`."""
        for lease in self.in_effect:
            lease.exited(end)

    @asynccontextmanager
    async def inject(self, fault: AnyFault, *, lasting: Duration | float) -> AsyncIterator[Lease]:
        """Have a fault in effect for the block, and for `lasting` at most; a bare number is seconds.

        The block begins once it is in effect. It is undone when the block is left, however it is left, unless it has
        ended before. Neither is cancelled halfway. Faults may overlap, on the same nodes too.

        Raises:
            UnsupportedError: the engine can't do this fault, here or at all; nothing was done.
            UnknownNodeError: it names a node that isn't there.
            LifeCycleError: it is to pause a node that doesn't run.
            FaultError: it makes no sense, or could not be made or undone.
        """
        lease, network = self._grant(fault, lasting)
        with anyio.CancelScope(shield=True):
            await lease.begin(network)
        self._tasks.start_soon(lease.watch)
        try:
            yield lease
        finally:
            await lease.end()

    def _grant(self, fault: AnyFault, lasting: Duration | float) -> tuple[Lease, EngineNetwork]:
        instance_of(Fault, "a fault, such as Pause(nodes=('a',))")(fault, "fault")
        kinds = self.kinds
        if not kinds:
            raise UnsupportedError(self._home.engine.name, "faults")
        if type(fault) not in kinds:
            able = ", ".join(sorted(each.__name__ for each in kinds))
            raise UnsupportedError(self._home.engine.name, fault.kind, f"of the faults it can do {able}")
        network = self._network
        if network is None:
            raise LifeCycleError("network", "inject", "not deployed yet", ())
        try:
            seconds = self._home.clock.in_seconds(lasting, "lasting")
        except ValueError as error:
            raise FaultError(fault.kind, f"{error}; give the seconds after which it ends by itself") from error
        if not 0 < seconds < float("inf"):
            raise FaultError(fault.kind, f"lasting={shown(lasting)}; give the seconds after which it ends by itself")
        placed = fault.among(self._home.nodes)
        if isinstance(placed, Pause):
            begun = {
                name
                for lease in self._leases
                if lease.begins and isinstance(lease.fault, Pause)
                for name in lease.fault.nodes
            }
            for name in placed.nodes:
                self._home.nodes[name].check_pausable()
                if name in begun:  # its node doesn't know yet, and of two freezes one would have no end
                    raise LifeCycleError(f"node {name}", "pause", "about to be paused", ())
        lease = Lease(self._home.scopes.new_id(), placed, seconds, self._home)
        self._leases.append(lease)
        return lease, network

    async def end_all(self, of: str | None = None) -> None:
        """End what is still in effect, latest first. For `Network`, before its nodes are destroyed.

        Args:
            of: the node that alone is about to be; by default all are.

        Raises:
            LucyError: one could not be undone: the first such, as a rule a FaultError; all others were tried too.
        """
        failure: LucyError | None = None
        for lease in reversed(self.in_effect):
            if of is not None and of not in lease.fault.members:
                continue
            try:
                await lease.end()
            except LucyError as error:
                failure = failure or error
        if failure is not None:
            raise failure
