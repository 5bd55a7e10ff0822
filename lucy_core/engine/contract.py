"""The engine contract: what deploys and controls nodes, whatever they run in.

An engine is four small parts, the four interfaces of the local-engine RFC: a *network config* (`NetworkConfig`, pure
data made by `Engine.expand`), a *network* with nodes (`EngineNetwork`, `EngineNode`), a *network manager*
(`NetworkManager`: create, deploy, destroy, cleanup) and a *log engine* (`LogEngine`: says where each node's lines come
from). Around them: what a network is (`NetworkSpec`), what an engine can do (`Capability`), when it may be asked
(`LifeCycle`), and how it is found (entry points in the group `lucy.engines`).

An engine that has `Capability.FAULTS` is a `FaultEngine` besides (`lucy_core.engine.injection`), its networks
`FaultNetwork`s.

An engine does the primitive thing it is asked and tells the truth about it. That the moment is right, that it goes
into the journal, that a death was expected: `Network` and `Node` see to these, once, for all engines.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from lucy_core.engine.execution import Take
from lucy_core.engine.injection import FaultEngine
from lucy_core.engine.intake import LineCapture
from lucy_core.engine.spec import NetworkSpec
from lucy_core.errors import ArgumentError, UnsupportedError
from lucy_core.faults import Fault
from lucy_core.plugins import Kind, load_plugin, plugin_names


class Capability(enum.StrEnum):
    """What an engine may be able to do beyond start and stop."""

    PAUSE = "pause"
    FRESH_STATE = "fresh_state"
    EXEC = "exec"
    ENVIRONMENT = "environment"
    RESOURCES = "resources"
    FILES = "files"
    FAULTS = "faults"


def require(engine: "Engine", capability: Capability) -> None:
    """Refuse by name what an engine can't do.

    Raises:
        UnsupportedError: the engine lacks the capability.
    """
    if capability not in engine.capabilities:
        raise UnsupportedError(engine.name, capability)


class NodeExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a node's process, or what it runs in, ended."""

    node: str
    code: int | None = None
    signal: str | None = None
    """`SIGKILL` and the like; then `code` is None."""
    out_of_memory: bool = False
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


class Resources(msgspec.Struct, frozen=True):
    """What a node uses now."""

    cpu_seconds: float
    memory_bytes: int
    threads: int = 0


class EngineNode(Protocol):
    """One node under an engine's control. Calls come one at a time, and only at moments that make sense."""

    @property
    def name(self) -> str:
        """The node's name in the network."""
        ...

    @property
    def directory(self) -> Path | None:
        """Where the node's files are on this machine, or None where they are elsewhere."""
        ...

    async def start(self, *, fresh_state: bool, environment: Mapping[str, str]) -> None:
        """Start the daemon; return once it runs, which is before it is ready.

        With `fresh_state` all that earlier starts left in the state directory is gone first. `environment` is added to
        the spec's own for this start alone.

        Raises:
            DeployError: it could not be started.
        """
        ...

    async def stop(self, *, grace: float) -> None:
        """Ask it to end (SIGTERM), then make it (SIGKILL) after `grace` seconds; return once it is gone.

        With everything that it started. A node that is gone already is no error.
        """
        ...

    async def kill(self) -> None:
        """End it with SIGKILL, with everything that it started; return once it is gone."""
        ...

    async def pause(self) -> None:
        """Freeze it: it keeps its connections and memory, and does nothing."""
        ...

    async def resume(self) -> None:
        """Undo `pause`."""
        ...

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float, take: Take) -> int:  # noqa: A002, ASYNC109
        """Run a command in the node's directory and environment, whether the node runs or not; return its exit code.

        What it writes is given to `take` as it comes, on the loop; however much that is, it costs no memory, and the
        command waits where it isn't taken. All of it is given before this returns. Cancelled, or where `take` raises,
        the command is killed with all that it has started, and what was raised comes out.

        Raises:
            CommandTimeoutError: it did not end in `timeout` seconds, whatever it wrote meanwhile, and was killed.
            CommandError: it could not be started.
        """
        ...

    async def read_file(self, path: str) -> bytes:
        """Return what a file of the node holds; a relative path starts at the node's directory. It needn't run.

        Raises:
            CommandError: there is no such file, or it is none that can be read.
        """
        ...

    async def write_file(self, path: str, content: bytes) -> None:
        """Put a file into the node, readable by its owner alone, making directories on the way. It needn't run.

        Raises:
            CommandError: it can't be written.
        """
        ...

    def address(self, port: str) -> tuple[str, int]:
        """Return host and port at which Lucy reaches a port of the node."""
        ...

    async def resources(self) -> Resources | None:
        """Measure what it uses now, or return None while it doesn't run."""
        ...


class EngineNetwork(Protocol):
    """A deployed network: its nodes exist, none has been started."""

    @property
    def nodes(self) -> Mapping[str, EngineNode]:
        """The nodes by name, in the spec's order."""
        ...


class NetworkConfig(Protocol):
    """What `Engine.expand` makes of a network: pure data that says all an engine is about to do."""

    @property
    def spec(self) -> NetworkSpec:
        """The network that it stands for."""
        ...


class LogEngine(Protocol):
    """Says where each node's lines come from."""

    async def attach(self, capture: LineCapture) -> None:
        """Open a source for every node. Called after `create`, before any node runs."""
        ...


class NetworkManager(Protocol):
    """Makes a network's infrastructure and takes it away again."""

    async def create(self) -> None:
        """Prepare what nodes need: directories, files, ports.

        Raises:
            DeployError: with what is missing and what to do.
        """
        ...

    async def deploy(self, on_exit: Callable[[NodeExit], None]) -> EngineNetwork:
        """Make the nodes, without starting any.

        `on_exit` is called on the loop, at once, whenever a started node ends, for whatever reason.
        """
        ...

    async def destroy(self) -> None:
        """Stop and remove every node. Again is no error."""
        ...

    async def cleanup(self) -> None:
        """Remove all that `create` made outside the run directory. Again is no error."""
        ...


class RunPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as what a run takes place: an engine's view of it."""

    run_id: str
    directory: Path
    """The run directory, absolute and private; an engine keeps its own files in `nodes/` below it."""
    options: Mapping[str, str] = {}
    """Engine options from the command line, e.g. `memory_limit`."""


@runtime_checkable
class Engine(Protocol):
    """Deploys and controls nodes. Found by entry point; its constructor takes no arguments and does nothing."""

    @property
    def name(self) -> str:
        """The word that selects it, on the command line too."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond start and stop."""
        ...

    def expand(self, spec: NetworkSpec, place: RunPlace) -> NetworkConfig:
        """Work out all that is about to be done, touching nothing.

        Raises:
            TopologyError: this engine can't make such a network.
        """
        ...

    def open(self, config: NetworkConfig) -> AbstractAsyncContextManager[tuple[NetworkManager, LogEngine]]:
        """Give the manager and the log engine of one run; leaving destroys what is left, however it is left."""
        ...


class EngineOption(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a user may say to an engine: a flag on the command line, a key of `RunPlace.options`."""

    name: str
    """The key, such as `memory_limit`; the flag is `--memory-limit`."""
    help: str
    metavar: str = "VALUE"
    choices: tuple[str, ...] = ()
    is_switch: bool = False
    """Takes no value: given, it is `"1"`."""
    variable: str | None = None
    """The environment variable that it comes from where it isn't given."""

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


@runtime_checkable
class Configurable(Protocol):
    """An engine that has options of its own. Optional; the command line asks."""

    @property
    def options(self) -> Sequence[EngineOption]:
        """What may be said to it, in the order in which `--help` lists it."""
        ...


def engine_options(engine: Engine) -> tuple[EngineOption, ...]:
    """List the options of an engine's own."""
    return tuple(engine.options) if isinstance(engine, Configurable) else ()


def fault_kinds(engine: Engine) -> frozenset[type[Fault]]:
    """Return the kinds of faults that an engine can do: none where it lacks the capability."""
    if Capability.FAULTS in engine.capabilities and isinstance(engine, FaultEngine):
        return engine.faults
    return frozenset()


@runtime_checkable
class Traceable(Protocol):
    """An engine that can say what is left of a run, from outside of it. Optional; the conformance suite asks."""

    async def leftovers(self, run_id: str) -> list[str]:
        """Name each thing of a run that still exists outside its directory: a process, a network."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """An engine that can tell beforehand what a network lacks. Optional; the command line asks, as it starts all nodes.

    In a test a program may yet come to be before the node that needs it is started.
    """

    def foresee(self, config: Any) -> None:  # what its own `expand` has made
        """Look for what every node needs, making nothing.

        Raises:
            TopologyError: naming the node and what it lacks.
        """
        ...


def engine_names() -> list[str]:
    """List the installed engines."""
    return plugin_names(Kind.ENGINE)


def load_engine(name: str) -> Engine:
    """Import an installed engine and make it.

    Raises:
        UnknownEngineError: none is called so.
        BrokenPluginError: it can't be imported or made, or lacks part of the contract.
    """
    return load_plugin(Kind.ENGINE, name, Engine)  # type: ignore[type-abstract]  # a protocol is what is meant


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


ExitReport = Callable[[NodeExit], None]
