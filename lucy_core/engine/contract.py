"""The engine contract: what deploys and controls nodes, whatever they run in.

An engine plans and opens. `Engine.plan` says, as pure data, all that is about to be done for one run; `Plan.open` does
it for the length of a block, and gives the network: its nodes are made, none is started, and whatever they write goes
into the `LineCapture`. Leaving the block takes all of it away again. There is no other order of calls to keep.

Of what an engine needn't be able to do, it says what it can: `capabilities`, `faults`, `options`. The rest is refused
by name before the engine is asked, so that an engine of few abilities has few methods. `Engine`, `Plan`,
`EngineNetwork` and `EngineNode` are there to be subclassed; what is no part of an ability has no body here.

An engine does the primitive thing it is asked and tells the truth about it. That the moment is right, that it goes
into the journal, that a death was expected: the `Network` and `Node` of `lucy_core.network` see to these, once, for all
engines.
"""

import abc
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from lucy_core.engine.capability import Capability
from lucy_core.engine.execution import Take
from lucy_core.engine.injection import FaultLost, Injection
from lucy_core.engine.line_capture import LineCapture
from lucy_core.engine.options import EngineOption
from lucy_core.engine.signals import DEFAULT_STOP, Reach
from lucy_core.engine.sources import Streams
from lucy_core.engine.spec import NetworkSpec, NodeSpec
from lucy_core.errors import ArgumentError, UnsupportedError
from lucy_core.faults import Fault
from lucy_core.plugins import Kind, load_plugin, plugin_names


class NodeExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a node's process, or what it runs in, ended."""

    node: str
    """Which."""
    code: int | None = None
    """Its exit status, where it exited."""
    signal: str | None = None
    """`SIGKILL` and the like; then `code` is None."""
    out_of_memory: bool = False
    """Whether it was ended for wanting more memory than it may have."""
    after: float = 0.0
    """Seconds from its start to its end, 0 if unknown: it tells whether it died before it was stopped."""
    asked: bool | None = None
    """Whether the engine had begun to end it when it ended; None where it can't tell, and `after` has to."""
    left: tuple[str, ...] = ()
    """What it left running that may not be ended, described: `process 4711 (sleep 37) of root`."""

    @property
    def how(self) -> str:
        """The end in words: `exited with code 1`, `was killed by SIGKILL`."""
        memory = " (out of memory)" if self.out_of_memory else ""
        if self.signal is not None:
            return f"was killed by {self.signal}{memory}"
        return f"exited with code {self.code}{memory}"


ExitReport = Callable[[NodeExit], None]
"""Told at once when a node's process has ended, whoever ended it."""


class Resources(msgspec.Struct, frozen=True):
    """What a node uses now."""

    cpu_seconds: float
    """Processor time since its start."""
    memory_bytes: int
    """Memory that is held now."""
    threads: int = 0
    """How many threads there are; 0 where that isn't known."""


class EngineNode(abc.ABC):
    """One node under an engine's control.

    Calls come one at a time, and only at moments that make sense; what a capability names, only if the engine has it.
    """

    @property
    def directory(self) -> Path | None:
        """Where the node's files are on this machine, or None where they are elsewhere."""
        return None

    @property
    def pid(self) -> int | None:
        """The daemon's process id where `exec` runs commands, or None while it doesn't run. `Capability.PID`."""
        raise NotImplementedError

    @abc.abstractmethod
    async def start(
        self, *, fresh_state: bool, environment: Mapping[str, str], arguments: Sequence[str] | None = None
    ) -> None:
        """Start the daemon; return once it runs, which is before it is ready.

        With `fresh_state` (`Capability.FRESH_STATE`) all that earlier starts left in the state directory is gone first.
        `environment` (`Capability.ENVIRONMENT`) is added to the spec's own for this start alone. `arguments`
        (`Capability.ARGUMENTS`), placeholders in them, stand for this start in the place of those that follow the
        program in the spec's command; they are given only where there are some, so an engine that lacks the capability
        may leave the parameter out.

        Raises:
            DeployError: it could not be started.
        """

    @abc.abstractmethod
    async def stop(self, *, grace: float) -> None:
        """Ask it to end, then make it (SIGKILL) after `grace` seconds; return once it is gone.

        With everything that it started. It is asked by the spec's `stop_signal`, sent to whom `stop_signal_to` says
        (`Capability.STOP_SIGNAL`): SIGTERM to all of it where nothing is said. A node that is gone already is no error.
        """

    @abc.abstractmethod
    async def kill(self) -> None:
        """End it with SIGKILL, with everything that it started; return once it is gone."""

    async def signal(self, signal: str, *, to: Reach) -> None:
        """Send it a signal, by name (`signal_number` has its number), and wait for nothing. `Capability.SIGNAL`.

        It is none that kills, freezes or thaws, which have methods of their own. An end that it leads to is the node's
        own: `NodeExit.asked` says nothing of it. A node that has ended meanwhile is no error. One that is frozen gets
        it when it goes on.

        Raises:
            CommandError: it could not be sent.
        """
        raise NotImplementedError

    async def pause(self) -> None:
        """Freeze it: it keeps its connections and memory, and does nothing. `Capability.PAUSE`."""
        raise NotImplementedError

    async def resume(self) -> None:
        """Undo `pause`."""
        raise NotImplementedError

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float, take: Take) -> int:  # noqa: A002, ASYNC109
        """Run a command in the node's directory and environment, whether the node runs or not; return its exit code.

        What it writes is given to `take` as it comes, on the loop; however much that is, it costs no memory, and the
        command waits where it isn't taken. All of it is given before this returns. Cancelled, or where `take` raises,
        the command is killed with all that it has started, and what was raised comes out. `Capability.EXEC`.

        Raises:
            CommandTimeoutError: it did not end in `timeout` seconds, whatever it wrote meanwhile, and was killed.
            CommandError: it could not be started.
        """
        raise NotImplementedError

    async def read_file(self, path: str) -> bytes:
        """Return what a file of the node holds; a relative path starts at the node's directory. It needn't run.

        `Capability.FILES`.

        Raises:
            CommandError: there is no such file, or it is none that can be read.
        """
        raise NotImplementedError

    async def write_file(self, path: str, content: bytes) -> None:
        """Put a file into the node, readable by its owner alone, making directories on the way. It needn't run.

        `Capability.FILES`.

        Raises:
            CommandError: it can't be written.
        """
        raise NotImplementedError

    def address(self, port: str) -> tuple[str, int]:
        """Return host and port at which Lucy reaches a port of the node's spec. May be left out.

        Raises:
            CommandError: it can't be reached now.
        """
        raise NotImplementedError

    async def listens(self, port: str) -> bool:
        """Tell whether somebody listens at a port to which a connection was just made, for that may end at a proxy.

        Raises:
            CommandError: it can't be found out now.
        """
        del port
        return True

    async def resources(self) -> Resources | None:
        """Measure what it uses now, or return None while it doesn't run. `Capability.RESOURCES`."""
        raise NotImplementedError


class EngineNetwork:
    """A network that is open: its nodes by name, none of them started yet."""

    def __init__(self, nodes: Mapping[str, EngineNode]) -> None:
        self.nodes = nodes
        """The nodes, by name."""

    async def add(self, spec: NodeSpec) -> EngineNode:
        """Make one more node, which isn't started, and have it in `nodes`. `Capability.MEMBERS`.

        It fits the network, and its name is none that a node of the run has had. From then on placeholders in what
        nodes are given may name it. It is taken away with all others at the latest. One call at a time.

        Raises:
            TopologyError: the engine can't make such a node.
            DeployError: it could not be made; nothing of it is left but its name.
        """
        raise NotImplementedError

    async def remove(self, name: str) -> None:
        """Take a node away that doesn't run and won't again, and all that was made for it outside of the run directory.

        `Capability.MEMBERS`. No fault is in effect on it. What it has written is where capture reads it by then.

        Raises:
            EngineError: something of it could not be taken away.
        """
        raise NotImplementedError

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]) -> Injection:
        """Make a fault of a kind in `Engine.faults` effective for `lasting` seconds at most; return once it is.

        What has to hold then stands in `lucy_core.engine.injection`. `on_lost` is called on the loop, at most once,
        when it ended because its place is gone. That a node's process ended is known without it.

        Raises:
            UnsupportedError: this kind can't be done here, with the reason.
            FaultError: it could not be made effective; nothing of it is left.
        """
        raise NotImplementedError


class RunPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as what a run takes place: an engine's view of it."""

    run_id: str
    """The run's name among all runs."""
    directory: Path
    """The run directory, absolute and private; an engine keeps its own files in `nodes/` below it."""
    options: Mapping[str, str] = {}
    """Options of the engine's own, as the user gave them: `{"statistics": "1"}`."""


class Plan:
    """All that an engine is about to do for one run. As a rule a frozen `msgspec.Struct` besides, for tests to read."""

    __slots__ = ()

    def open(self, capture: LineCapture, on_exit: ExitReport) -> AbstractAsyncContextManager[EngineNetwork]:
        """Have the network for the length of a block: a source open for every node, nodes made, none started.

        Leaving takes all of it away: nodes with everything that they started, each before those that it was started
        after (`start_order`), and whatever was made outside of the run directory. So does an entering that fails or is
        cancelled halfway. Taking away is shielded from cancelling, and goes on past what fails of it, which is raised
        at its end. What nodes have written is where capture reads it once the block is left.

        Args:
            capture: where the nodes' lines go in. It outlives the block.
            on_exit: called on the loop, at once, whenever a started node ends, for whatever reason, at its stop too.

        Raises:
            DeployError: with what is missing and what to do.
        """
        raise NotImplementedError

    def foresee(self) -> None:
        """Look for what every node needs to start, making nothing. By default nothing can be foreseen.

        The command line asks, since it starts all nodes at once. In a test a program may yet come to be before the
        node that needs it is started.

        Raises:
            TopologyError: naming the node and what it lacks.
        """

    def running(self, file: Path) -> str:
        """Say what command runs the network that was exported into a file. `Capability.EXPORT`."""
        raise NotImplementedError

    def export(self, file: Path, about: Mapping[str, str]) -> None:
        """Write the network down for others to run. `Capability.EXPORT`; the run's directory is the file's.

        While somebody runs it, each node's lines go into its FIFO, or each of its streams into one of its own where
        they are told apart. Behind them, or behind those of stdout, stands whenever its daemon has ended a line that
        says so: the event `DaemonExited` of `lucy_core.run.exported`, which tells how to write it. Once each node has
        written one and nothing follows, `lucy attach` ends by itself.

        Args:
            file: the file to write, and beside it what it refers to: among that, in `PIPES`, a FIFO for each source of
                a node, called as `run_files.fifo_name` says.
            about: goes into it, for people.

        Raises:
            ExportError: it can't be written, or would overwrite something.
        """
        raise NotImplementedError


PIPES = "pipes"
"""The directory of an exported network in which its nodes have their FIFOs."""


class Engine(abc.ABC):
    """Deploys and controls nodes. Found by entry point; its constructor takes no arguments and does nothing."""

    name: str
    """The word that selects it, on the command line too."""
    capabilities: frozenset[Capability] = frozenset()
    """What it can do beyond start and stop."""
    faults: frozenset[type[Fault]] = frozenset()
    """The kinds of faults that it can do, here or where more is installed."""
    options: tuple[EngineOption, ...] = ()
    """What may be said to it, in the order in which `--help` lists it."""

    @abc.abstractmethod
    def plan(self, spec: NetworkSpec, place: RunPlace) -> Plan:
        """Work out all that is about to be done, touching nothing.

        Raises:
            TopologyError: this engine can't make such a network, or an option makes no sense.
        """

    async def leftovers(self, run_id: str) -> list[str]:
        """Name each thing of a run that still exists outside its directory: a process, a network.

        Asked from outside of the run, by the conformance suite after each way to end one. An engine that makes nothing
        of the kind has nothing to say.
        """
        del run_id
        return []


def require(engine: Engine, capability: Capability) -> None:
    """Refuse by name what an engine can't do.

    Raises:
        UnsupportedError: the engine lacks the capability.
    """
    if capability not in engine.capabilities:
        raise UnsupportedError(engine.name, capability)


def require_of(engine: Engine, nodes: Iterable[NodeSpec]) -> None:
    """Refuse by name what nodes ask for and an engine can't do, before it is asked.

    Raises:
        UnsupportedError: saying which node asks for it.
    """
    for node in nodes:
        for capability, asked in (
            (Capability.USER, "user" if node.user is not None else ""),
            (Capability.LOGS, "logs" if node.logs else ""),
            (Capability.STREAMS, "streams" if node.streams is not Streams.TOGETHER else ""),
            (Capability.STOP_SIGNAL, "stop_signal" if node.stop_signal != DEFAULT_STOP else ""),
            (Capability.STOP_SIGNAL, "stop_signal_to" if node.stop_signal_to is not Reach.GROUP else ""),
        ):
            if asked and capability not in engine.capabilities:
                reason = f"node {node.name!r} asks for it by {asked}={_as_given(getattr(node, asked))!r}"
                raise UnsupportedError(engine.name, capability, f"{reason}; leave that out, or take another engine")


def _as_given(value: object) -> object:
    return str(value) if isinstance(value, enum.StrEnum) else value


def engine_names() -> list[str]:
    """List the installed engines."""
    return plugin_names(Kind.ENGINE)


def load_engine(name: str) -> Engine:
    """Import an installed engine and make it.

    Raises:
        UnknownEngineError: none is called so.
        BrokenPluginError: it can't be imported or made, or lacks part of the contract.
    """
    return load_plugin(Kind.ENGINE, name, Engine)  # type: ignore[type-abstract]  # what derives from it is meant


def engine_of(given: object) -> Engine:
    """Take an engine, or the name of one.

    Raises:
        UnknownEngineError: no engine is called so.
        ArgumentError: it is neither.
    """
    if isinstance(given, str):
        return load_engine(given)
    if isinstance(given, type) or not isinstance(given, Engine):
        advice = "make one of the class" if isinstance(given, type) else "give an engine or the name of one"
        raise ArgumentError("engine", given, f"is no engine; {advice}: {', '.join(map(repr, engine_names()))}")
    return given
