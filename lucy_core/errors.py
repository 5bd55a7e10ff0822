"""Every error that Lucy raises, one root, one tree.

::

    LucyError
    ├── EventDefinitionError        a declaration of an event type makes no sense
    ├── FilterError                 a logproc filter is not of the language, or asks for what isn't there
    ├── TopologyError               a network was described wrongly
    ├── PipelineError
    │   ├── CaptureDiedError        the capture process is gone
    │   └── RecordingError          a run directory can't be written or read back
    │       ├── IncompleteError     what was recorded was all given, and is not all that there was
    │       └── CutOffError         a reader lacks lines that it can't read back any more
    ├── PlaceError                  `since=` names no place in this run
    ├── ArgumentError               what a call was given is of no use to it
    ├── LimitError                  a limit of a wait is no length of time, or doesn't go with the others
    ├── StreamError
    │   ├── StreamEmptyError        a stream ended before the item that was awaited
    │   ├── StreamTimeoutError      a stream ran into its limit
    │   ├── ForgottenAwaitError     a `first()` was made, and never awaited
    │   ├── CallbackError           a callback raised what no handler takes: a cancellation, an exit
    │   └── OperatorError           an operator makes no stream
    ├── NoNodesError                `nodes=` names nobody
    ├── AboutNoNodeError            `nodes=` chooses among events that are about no node
    ├── JudgementError              what a test decides
    │   ├── RunFailedError          a run is over, and something is held against it
    │   ├── RunOverError            nothing can be held against a run any more
    │   ├── CheckFailedError        a hard check of the test's own failed
    │   ├── WaitTimeoutError        a wait ran into its hard timeout
    │   ├── NotReadyError           a node was started and did not become ready
    │   ├── ImpossibleError         a wait can't come true any more
    │   ├── ViolationError          what had to hold was broken
    │   ├── MalformedLineError      a node wrote a line that its format can't read, where that must not be
    │   ├── ConditionError          a condition's own code failed
    │   ├── StateError              a vocabulary's own code failed, and its state is worth nothing any more
    │   └── InconclusiveError       the log has a gap where the answer would be
    ├── EngineError
    │   ├── UnknownEngineError      no engine of that name is installed: an UnknownNameError too
    │   ├── UnsupportedError        the engine lacks a capability
    │   ├── LifeCycleError          the right call at the wrong moment
    │   ├── EngineUnavailableError  what the engine stands on can't be used
    │   ├── DeployError             the infrastructure could not be made
    │   │   ├── HelperStartError    a process of Lucy's own does not start
    │   │   ├── PortsTakenError     no port is free for a node
    │   │   ├── UnknownProgramError a node's program is not there
    │   │   ├── UnrunnableError     a program can't be run, so that it is a CommandError too
    │   │   ├── InapplicableError   what the engine stands on has no use for an option
    │   │   ├── RefusedError        what the engine stands on refused to do something
    │   │   └── SystemRefusedError  the operating system refused what a network needs of it
    │   ├── ExportError             a network can't be written down for others to run
    │   ├── AttachError             a network that somebody else runs can't be captured
    │   ├── UnknownNodeError        no node of that name
    │   ├── NodeExitedError         a node died that should be running
    │   ├── HelperDiedError         a process of Lucy's own, which an engine can't do without, died
    │   │   └── CarrierDiedError    one that carried lines, so that it is a PipelineError too
    │   ├── NodeGoneError           what a node runs in ended under a command
    │   ├── SupervisorError         what supervises a node refused a command
    │   ├── FaultError              a fault makes no sense, or could not be made or undone
    │   └── CommandError            a command in a node failed
    │       ├── UnknownPortError    a node has no port of that name
    │       ├── NodeFileError       a file of a node can't be read or written
    │       ├── CommandTimeoutError it did not end in time, and was killed
    │       └── OutputLimitError    it wrote more than is kept, and was killed
    ├── NodeApiError                a node's own API (over HTTP, say) failed
    │   ├── NodeUnreachableError    it could not be reached in time
    │   └── NodeRefusedError        it answered, with an error
    ├── UsageError                  the command line or a marker was wrong
    │   ├── CommandLineError        the command line is none that the command understands
    │   ├── OptionError             an option of a run is of no use, so that it is a TopologyError too
    │   └── UnknownNameError        nothing is called so, of what can be named there
    ├── BrokenPluginError           a plug-in is installed and can't be used
    ├── EventLoopError              Lucy was called on another event loop than asyncio's
    ├── StrayTaskError              a network was left while the task that entered it ran elsewhere
    └── StrayCallError              a network was called from another thread or loop than its own

Each message is built from typed attributes and says the input, what was found and what to do. Each attribute is
described with its class, or with the one that it comes from.
"""

import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from lucy_core.visible import visible

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlong = 40


def shown(value: object) -> str:
    """Show a value that somebody gave in one short line, whatever it is: it may not like to be shown."""
    try:
        text = _SHORT.repr(value)
    except Exception:  # noqa: BLE001  # anybody's `__repr__`; a whole number of 5,000 digits has none either
        return f"<{type(value).__name__}>"
    return " ".join(text.split())


def _joined(subject: str, reason: str) -> str:
    """Make a sentence of what something is about and what is wrong with it, which may begin with a colon."""
    return f"{subject}{' ' if reason and reason[0] not in ':;' else ''}{reason}"


def _listed(lines: tuple[str, ...]) -> str:
    """Put a node's last lines below what is said of it."""
    return "".join(f"\n    {line}" for line in lines) or " nothing"


class LucyError(Exception):
    """The root of all errors that Lucy raises on purpose. What a node's words in it would do to a terminal is shown."""

    def __str__(self) -> str:
        return visible(super().__str__())


class _AboutError(LucyError):
    """What is wrong with something.

    Attributes:
        subject: what it is about, for people: `node 'seed'`, `--option 'x'`; where there is no reason, all of it.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, subject: str, reason: str = "") -> None:
        self.subject = subject
        self.reason = reason
        super().__init__(_joined(subject, reason))


class EventDefinitionError(_AboutError):
    """A declaration of an event type makes no sense."""


class FilterError(LucyError):
    """A logproc filter is not of the language, or asks for what isn't there.

    Attributes:
        text: the filter.
        problem: what is wrong with it, and where.
    """

    def __init__(self, text: str, problem: str) -> None:
        self.text = text
        self.problem = problem
        super().__init__(f"the filter {text!r} can't be used: {problem}")


class TopologyError(_AboutError):
    """A network was described wrongly; nothing has been started."""


class UsageError(_AboutError):
    """The command line or a pytest marker was wrong; nothing has been started."""


class CommandLineError(UsageError):
    """The command line is none that the command understands; nothing has been started.

    Attributes:
        problem: what is wrong with it, of which the first 400 characters are said.
        program: whose `--help` says more.
    """

    def __init__(self, problem: str, program: str) -> None:
        self.problem = problem
        self.program = program
        line = problem.replace("\n", "\\n")
        super().__init__(line if len(line) <= 400 else f"{line[:400]}…", f"(see {program} --help)")


class OptionError(UsageError, TopologyError):
    """An option of a run is of no use; nothing has been started.

    Attributes:
        name: the option's.
        value: what was given.
    """

    def __init__(self, name: str, value: str, reason: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"option {name}={shown(value)}", reason)


class UnknownNameError(UsageError):
    """Nothing is called so, of what can be named there; nothing has been started.

    Attributes:
        kind: what was named: `option`, `scenario`.
        name: what it was called.
        known: what there is, sorted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches

        self.kind = kind
        self.name = name
        self.known = tuple(sorted(set(known)))
        close = get_close_matches(name, self.known, n=3)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        super().__init__(f"no {kind} is called {shown(name)}{meant}", f"(there is: {', '.join(self.known) or 'none'})")


class BrokenPluginError(LucyError):
    """A plug-in is installed and can't be used: it can't be imported or made, or is no such thing.

    Attributes:
        kind: `engine`, `vocabulary` and so on.
        name: of its entry point.
        origin: where the entry point leads: `package.module:Name`.
        reason: what it raised, or what it lacks.
    """

    def __init__(self, kind: str, name: str, origin: str, reason: str) -> None:
        self.kind = kind
        self.name = name
        self.origin = origin
        self.reason = reason
        super().__init__(f"the {kind} {name!r}, installed as {origin}, can't be used: {reason}")


class EventLoopError(LucyError):
    """Lucy was called on another event loop than asyncio's; nothing has been started."""

    def __init__(self) -> None:
        super().__init__(
            "Lucy runs on asyncio, uvloop included, and no loop of asyncio's runs here: "
            "use anyio.run(main) without backend='trio', or asyncio.run(main())"
        )


class StrayTaskError(LucyError):
    """A network was left while the task that entered it ran elsewhere; the network has been taken down.

    Attributes:
        entered_in: the task's name.
        left_in: the other task's name.
    """

    def __init__(self, entered_in: str, left_in: str) -> None:
        self.entered_in = entered_in
        self.left_in = left_in
        super().__init__(
            f"the network was entered in the task {entered_in!r}, which still runs, and left in {left_in!r}: "
            "enter and leave it in one task, or leave it once the first is over"
        )


class StrayCallError(LucyError):
    """A network was called from another thread or loop than the one that deployed it; the call changed nothing.

    Attributes:
        thread: which called, by name.
        home: where the network lives.
    """

    def __init__(self, thread: str, home: str) -> None:
        self.thread = thread
        self.home = home
        where = f"on another loop of the thread {thread!r}" if thread == home else f"in the thread {thread!r}"
        super().__init__(
            f"Lucy's network lives on the loop that deployed it, in the thread {home!r}, and was called {where}: "
            "call it there, from a thread by anyio.from_thread.run or loop.call_soon_threadsafe"
        )


class PipelineError(LucyError):
    """Capturing, decoding or reading back lines failed."""


class CaptureDiedError(PipelineError):
    """The capture process ended by itself, or was silent for so long that it was killed; what came later is lost.

    Attributes:
        reason: how it ended.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the capture process is gone ({reason}); the log is incomplete from here on")


class RecordingError(_AboutError, PipelineError):
    """A run directory can't be written or read back."""


class IncompleteError(RecordingError):
    """All that was recorded has come, and something is missing in it, so that its end is not the end.

    Attributes:
        what: the stream that was read, by the names of its steps.
        position: of the first line that may be missing, or of the one behind it.
        node: whose lines; None for anybody's.
    """

    def __init__(self, what: str, position: int, node: str | None, reason: str) -> None:
        self.what = what
        self.position = position
        self.node = node
        whose = "" if node is None else f", {node}"
        super().__init__(
            f"the recording of {what} is incomplete at position {position:,}{whose}",
            f": {reason}; what has come is all that can be read of it",
        )
        self.reason = reason


class CutOffError(RecordingError):
    """A reader was cut off: what it has not been given can't be read back any more.

    Attributes:
        position: of the first line that it was not given.
        delivered: how far the run had been delivered to others.
        why: what cut it off; empty where nothing did but what follows.
        stopped: the position from which on nothing was recorded, and why; None where all was.
    """

    def __init__(self, position: int, delivered: int, why: str = "", stopped: tuple[int, str] | None = None) -> None:
        self.position = position
        self.delivered = delivered
        self.why = why
        self.stopped = stopped
        reason = ""
        if stopped is not None:
            reason = f": the recording stopped at {stopped[0]} ({stopped[1]}), and what came since can't be read back"
        super().__init__(f"{why}{'; ' if why else ''}read up to position {position} of {delivered}", reason)


class PlaceError(LucyError, ValueError):
    """What was given as `since=` names no place in this run.

    Attributes:
        since: what was given.
        reason: why it names none.
    """

    def __init__(self, since: object, reason: str) -> None:
        self.since = since
        self.reason = reason
        super().__init__(
            f"since={shown(since)} {reason}; give a mark of this run, a position in it, or 0 for its beginning"
        )


class ArgumentError(LucyError, TypeError, ValueError):
    """What a call was given is of no use to it: of another type, or no such value. Nothing was done.

    Attributes:
        name: of the argument, and the place in it: `command[1]`.
        value: what was given.
        reason: what is wrong with it, and what to give.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        self.name = name
        self.value = value
        self.reason = reason
        super().__init__(_joined(f"{name}={shown(value)}", reason))


class LimitError(LucyError, ValueError):
    """A limit of a wait is no length of time, or doesn't go with the condition or with the other limits.

    Attributes:
        name: which limit: `soft`, `hard`, `lasting`, `within`.
        value: what was given; None where it was left out and is needed.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        self.name = name
        self.value = value
        self.reason = reason
        given = f"{name}={shown(value)}" if value is not None else f"{name}="
        super().__init__(f"{given} {reason}")


class StreamError(LucyError):
    """A stream could not give what was asked of it."""


class StreamEmptyError(StreamError):
    """The stream ended before the item that was awaited.

    Attributes:
        stream: the stream, by the names of its steps.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(f"{stream} ended before an item came that was awaited")


class StreamTimeoutError(StreamError, TimeoutError):
    """A stream ran into its limit.

    Attributes:
        stream: the stream, by the names of its steps.
        what: what it had to do in time, and didn't.
        seconds: the limit.
        explanation: how many items came, the last, the nearest miss, the ledger.
    """

    def __init__(self, stream: str, what: str, seconds: float, explanation: str) -> None:
        self.stream = stream
        self.what = what
        self.seconds = seconds
        self.explanation = explanation
        super().__init__(f"{stream} did not {what} within {seconds:g} s" + (f"\n{explanation}" if explanation else ""))


class ForgottenAwaitError(StreamError):
    """What was made to be awaited never was, so that nothing was checked by it.

    Attributes:
        what: the first of them, each with the line that made it.
        count: how many there are.
    """

    def __init__(self, what: Iterable[str], count: int) -> None:
        self.what = tuple(what)
        self.count = count
        more = f" and {count - len(self.what)} more" if count > len(self.what) else ""
        were = "was" if count == 1 else "were"
        super().__init__(f"{'; '.join(self.what)}{more} {were} never awaited, so nothing was checked: write await")


class CallbackError(StreamError):
    """A callback raised what is no `Exception`, so that no handler could take it; its cause is what was raised.

    Attributes:
        raised: what it raised.
    """

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised
        super().__init__(f"a callback raised {type(raised).__name__}: {raised}")


class OperatorError(StreamError):
    """An operator makes no stream; nothing was subscribed.

    Attributes:
        operator: its name.
        reason: what is wrong with it.
    """

    def __init__(self, operator: str, reason: str) -> None:
        self.operator = operator
        self.reason = reason
        super().__init__(f"{operator} can't be used on a stream: {reason}")


class NoNodesError(LucyError, ValueError):
    """What was given as `nodes=` names nobody, so that nothing could ever come."""

    def __init__(self) -> None:
        super().__init__("nodes= names no node; leave it out to mean all of them")


class AboutNoNodeError(LucyError, ValueError):
    """Events of the run as a whole were asked for by node, so that nothing could ever come.

    Attributes:
        kind: the event type.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"{kind} is about the run and no node of it; leave nodes= out")


class JudgementError(LucyError):
    """A test's verdict, as an exception that ends the section."""


class RunFailedError(JudgementError):
    """A run is over, its block raised nothing, and something is held against it.

    Attributes:
        outcome: what became of the run: `failed`, `interrupted` and so on.
        held: what is held against it, a text each.
        directory: the run directory, with the full report.
    """

    def __init__(self, outcome: str, held: tuple[str, ...], directory: Path) -> None:
        self.outcome = outcome
        self.held = held
        self.directory = directory
        count = f"{len(held)} {'error was' if len(held) == 1 else 'errors were'} held against it"
        head, foot = f"the run's outcome is {outcome}: {count}", f"run directory {directory}"
        super().__init__("\n".join((head, *(f"  {text}" for text in held), foot)))


class RunOverError(JudgementError):
    """Something was to be held against a run whose result is written.

    Attributes:
        held: what was to be held against it.
    """

    def __init__(self, held: str) -> None:
        self.held = held
        super().__init__(f"this run is over and its result written, so this can't be held against it any more: {held}")


class CheckFailedError(JudgementError):
    """A hard check of the test's own failed.

    Attributes:
        message: what the test says of it.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class WaitTimeoutError(JudgementError, TimeoutError):
    """A wait ran into its hard timeout.

    Attributes:
        condition: the condition's kind, e.g. `seen`.
        description: what was awaited.
        waited: seconds from the call to the end.
        explanation: how close it came, what is missing, the last related events, the ledger.
        is_readiness: whether nodes were awaited that a test needs to begin.
    """

    def __init__(
        self, condition: str, description: str, waited: float, explanation: str, *, is_readiness: bool = False
    ) -> None:
        self.is_readiness = is_readiness
        self.condition = condition
        self.description = description
        self.waited = waited
        self.explanation = explanation
        super().__init__(f"timed out after {waited:.1f} s waiting for {description}\n{explanation}")


class NotReadyError(JudgementError):
    """A node was started and did not become ready, as its spec says what that is.

    Attributes:
        node: which.
        reason: why not: `nothing came of it within 5 s; …`, `db exited with code 0 before`.
        awaited: what it waited for.
        last_lines: the last lines that it wrote, oldest first.
        explanation: how close it came, what is missing, the ledger.
    """

    def __init__(self, node: str, reason: str, awaited: str, last_lines: Iterable[str], explanation: str) -> None:
        self.node = node
        self.reason = reason
        self.awaited = awaited
        self.last_lines = tuple(last_lines)
        self.explanation = explanation
        head = f"node {node!r} did not become ready: {reason}; it waited for {awaited}"
        super().__init__(f"{head}\n{explanation}\n  its last lines:{_listed(self.last_lines)}")


class _DecidedError(JudgementError):
    """A wait was decided against before its time was over.

    Attributes:
        description: what was awaited, or had to hold.
        waited: seconds from the call to the decision.
        reason: what decided it.
        explanation: how close it came, the last related events, the ledger.
    """

    _head = ""

    def __init__(self, description: str, waited: float, reason: str, explanation: str) -> None:
        self.description = description
        self.waited = waited
        self.reason = reason
        self.explanation = explanation
        super().__init__(f"{self._head.format(description, waited)}: {reason}\n{explanation}")


class ImpossibleError(_DecidedError):
    """A wait was given up early, since it can't come true any more."""

    _head = "gave up after {1:.1f} s waiting for {0}"


class ViolationError(_DecidedError):
    """What had to hold was broken, at a line that the reason names."""

    _head = "{0} was broken after {1:.1f} s"


class MalformedLineError(JudgementError):
    """A node wrote a line that its format can't read, and the format was chosen so that this ends the run.

    Attributes:
        node: which.
        position: where the line stands in the run.
        log_format: the format's name.
        reason: why it can't be read.
        raw: the line's bytes.
    """

    def __init__(self, node: str, position: int, log_format: str, reason: str, raw: bytes) -> None:
        self.node = node
        self.position = position
        self.log_format = log_format
        self.reason = reason
        self.raw = raw
        super().__init__(
            f"{node} wrote a line, at position {position:,}, that its format {log_format!r} can't read: {reason}: "
            f"{shown(raw)}"
        )


class ConditionError(JudgementError):
    """A condition's own code failed, and with it whoever waited for it.

    Attributes:
        condition: the condition's kind.
        description: what was awaited.
        error: what its code raised; also this error's cause.
    """

    def __init__(self, condition: str, description: str, error: BaseException) -> None:
        self.condition = condition
        self.description = description
        self.error = error
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        super().__init__(f"the condition {condition} failed while waiting for {description}: {text}")
        self.__cause__ = error


class StateError(JudgementError):
    """A vocabulary's own code failed at an event: from there on its picture of the network is worth nothing.

    Attributes:
        state: the name of the picture's type.
        error: what its code raised; also this error's cause.
    """

    def __init__(self, state: str, error: BaseException) -> None:
        self.state = state
        self.error = error
        super().__init__(f"{state} could not be folded any further: {type(error).__name__}: {error}")
        self.__cause__ = error


class InconclusiveError(JudgementError):
    """The log has a gap where the answer would be: neither passed nor failed.

    Attributes:
        reason: what is missing.
        what: what was asked.
        explanation: how close it came, the ledger.
    """

    def __init__(self, reason: str, *, what: str = "", explanation: str = "") -> None:
        self.reason = reason
        self.what = what
        self.explanation = explanation
        super().__init__(f"{what}{': ' if what else ''}{reason}" + (f"\n{explanation}" if explanation else ""))


class EngineError(LucyError):
    """The infrastructure, not the product under test, failed."""


class UnknownEngineError(UnknownNameError, EngineError):
    """No engine of that name is installed."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("engine", name, known)


class UnsupportedError(EngineError):
    """The engine lacks a capability; nothing was done.

    Attributes:
        engine: its name.
        capability: what it lacks; of a fault that it can't do, the fault's kind.
        reason: why it can't here, and what would help, where it could elsewhere.
    """

    def __init__(self, engine: str, capability: str, reason: str = "") -> None:
        self.engine = engine
        self.capability = capability
        self.reason = reason
        super().__init__(f"the {engine} engine has no capability '{capability}'" + (f": {reason}" if reason else ""))


class LifeCycleError(EngineError):
    """The right call at the wrong moment; nothing was done.

    Attributes:
        subject: whose life it is: `node 'seed'`.
        action: what was asked for.
        state: where it stands.
        allowed: what is possible now.
    """

    def __init__(self, subject: str, action: str, state: str, allowed: Iterable[str]) -> None:
        self.subject = subject
        self.action = action
        self.state = state
        self.allowed = tuple(allowed)
        super().__init__(
            f"can't {action} {subject}: it is {state}; now possible: {', '.join(self.allowed) or 'nothing'}"
        )


class EngineUnavailableError(EngineError):
    """What the engine stands on can't be used: it isn't there, lets nobody in, is too old, hangs or has died.

    Attributes:
        host: where the engine was looked for.
        found: what was found there.
        advice: what to do.
    """

    def __init__(self, host: str, found: str, advice: str) -> None:
        self.host = host
        self.found = found
        self.advice = advice
        super().__init__(f"no engine can be used at {host}: {found}; {advice}")


class _OfNodeError(EngineError):
    """What failed in one node, or in the network as a whole.

    Attributes:
        reason: what failed, and what to do.
        node: which; None for the whole network.
    """

    def __init__(self, reason: str, node: str | None = None) -> None:
        self.reason = reason
        self.node = node
        super().__init__(reason if node is None else f"node {node!r}: {reason}")


class DeployError(_OfNodeError):
    """The network's infrastructure could not be made."""


class HelperStartError(DeployError):
    """A process of Lucy's own, which an engine can't do without, can't be started.

    Attributes:
        helper: which, with what it is for.
        error: what the system said.
    """

    def __init__(self, helper: str, error: OSError) -> None:
        self.helper = helper
        self.error = error
        where = f": {error.filename}" if error.filename else ""
        super().__init__(f"{helper}, does not start: {error.strerror or error}{where}")


class PortsTakenError(DeployError):
    """No port is free of those that nodes are given.

    Attributes:
        first: of those that were tried.
        last: of those that were tried.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        super().__init__(f"no port from {first} to {last} is free; end other runs, or look at what listens there")


class UnknownProgramError(DeployError):
    """A node's program, or that of a command in it, is not there.

    Attributes:
        program: what was to be run.
    """

    def __init__(self, node: str, program: str) -> None:
        self.program = program
        super().__init__(f"there is no program {shown(program)}; install it, or give its path", node)


class InapplicableError(DeployError):
    """An option can't be honoured by what the engine stands on.

    Attributes:
        option: which, as it is written.
    """

    def __init__(self, option: str, reason: str) -> None:
        self.option = option
        super().__init__(_joined(option, reason))


class RefusedError(DeployError):
    """What an engine stands on refused to do something.

    Attributes:
        action: what it was asked to do.
        status: the HTTP status of its answer.
    """

    def __init__(self, action: str, status: int, reason: str) -> None:
        self.action = action
        self.status = status
        super().__init__(f"can't {action}: {reason}")


class SystemRefusedError(DeployError):
    """The operating system refused what a network needs of it.

    Attributes:
        errno: its number for why; 0 where it gave none.
        path: the file that it is about; None for none.
        advice: what to do about it; empty where the number says enough.
    """

    def __init__(self, error: OSError, advice: str) -> None:
        self.errno = error.errno or 0
        self.path = error.filename
        self.advice = advice
        where = f"{self.path}: " if self.path else ""
        what = f"; {advice}" if advice else ""
        super().__init__(f"can't make the network: {where}{error.strerror or error}{what}")


class ExportError(EngineError):
    """A network can't be written down for others to run; what was written is removed.

    Attributes:
        subject: what can't be written down: a node, a place.
        reason: what stands in the way.
    """

    def __init__(self, subject: str, reason: str) -> None:
        self.subject = subject
        self.reason = reason
        super().__init__(f"can't export: {subject}: {reason}")


class AttachError(EngineError):
    """A network that somebody else runs can't be captured.

    Attributes:
        path: where it was looked for.
        reason: what is wrong there.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"can't attach: {path} {reason}")


class UnknownNodeError(EngineError, KeyError):
    """No node of that name.

    Attributes:
        name: what was asked for.
        known: the names of those that are there.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(name)

    def __str__(self) -> str:
        return visible(f"no node is called {shown(self.name)}; this network has {', '.join(self.known) or 'none'}")


class NodeExitedError(EngineError):
    """A node died that should be running.

    Attributes:
        node: which.
        how: `exited with code 1`, `was killed by SIGKILL`.
        after: seconds since it was started.
        last_lines: the last lines that it wrote, oldest first.
        awaited: what it waited for to be ready, where it died before that; None where it was, or nobody waited.
    """

    def __init__(
        self, node: str, how: str, after: float, last_lines: Iterable[str], *, awaited: str | None = None
    ) -> None:
        self.node = node
        self.how = how
        self.after = after
        self.last_lines = tuple(last_lines)
        self.awaited = awaited
        before = "" if awaited is None else f", before it was ready, which was to be told by {awaited}"
        said = _listed(self.last_lines)
        super().__init__(f"{node} {how} {after:.1f} s after its start{before}; its last lines:{said}")


class HelperDiedError(EngineError):
    """A process of Lucy's own, which an engine can't do without, ended by itself; no node is to blame.

    Attributes:
        helper: which, with what it is for: `the pump, which carries nodes' lines`.
        pid: its process id.
        how: how it ended.
        last_words: the last of what it wrote to its stderr.
    """

    def __init__(self, helper: str, pid: int, how: str, last_words: str = "") -> None:
        self.helper = helper
        self.pid = pid
        self.how = how
        self.last_words = last_words
        said = f"; its last words: {last_words}" if last_words else ""
        super().__init__(f"{helper}, {how} (process {pid}){said}")


class CarrierDiedError(HelperDiedError, PipelineError):
    """A process of Lucy's own that carried nodes' lines ended by itself: what rests on the log is inconclusive."""


class NodeGoneError(EngineError):
    """What a node runs in, or what runs that, ended before a command was obeyed.

    Attributes:
        node: which.
        command: what it was asked to do.
    """

    def __init__(self, node: str, command: str) -> None:
        self.node = node
        self.command = command
        super().__init__(f"can't {command} {node}: what it runs in is gone")


class SupervisorError(EngineError):
    """A node's supervisor refused a command; nothing was done.

    Attributes:
        node: which.
        command: what it was asked to do.
        reason: what the supervisor said.
    """

    def __init__(self, node: str, command: str, reason: str) -> None:
        self.node = node
        self.command = command
        self.reason = reason
        super().__init__(f"can't {command} {node}: {reason}")


class FaultError(EngineError):
    """A fault makes no sense, or could not be made effective, or not be undone.

    Attributes:
        fault: its kind.
        reason: what is wrong with it, or what failed.
    """

    def __init__(self, fault: str, reason: str) -> None:
        self.fault = fault
        self.reason = reason
        super().__init__(f"the fault {fault}: {reason}")


class CommandError(_OfNodeError):
    """A command in a node failed."""


class UnrunnableError(DeployError, CommandError):
    """A program can't be run, be it a node's or a command's in it: it is there, and the system doesn't take it.

    Attributes:
        program: what was to be run.
    """

    def __init__(self, node: str, program: str, reason: str) -> None:
        self.program = program
        super().__init__(f"can't run {program}: {reason}", node)


class UnknownPortError(CommandError):
    """A node has no port of that name.

    Attributes:
        port: what was asked for.
        known: the names of those that it has.
    """

    def __init__(self, node: str, port: str, known: Iterable[str]) -> None:
        self.port = port
        self.known = tuple(known)
        super().__init__(f"node {node!r} has no port {port!r}; it has {', '.join(self.known) or 'none'}")
        self.node = node


class NodeFileError(CommandError):
    """A file of a node can't be read or written.

    Attributes:
        action: what was to be done: `read`, `write`.
        path: the file's, as the node sees it.
    """

    def __init__(self, node: str, action: str, path: str, reason: str) -> None:
        self.action = action
        self.path = path
        super().__init__(f"can't {action} {path}: {reason}", node)


class CommandTimeoutError(CommandError):
    """A command in a node did not end in time; it was killed, with all that it had started.

    Attributes:
        command: its program.
        seconds: the limit.
        said: the last of what it wrote to its stderr.
        left: processes of it, described, that may not be killed.
    """

    def __init__(self, node: str, command: str, seconds: float, said: str = "", *, left: Iterable[str] = ()) -> None:
        self.command = command
        self.seconds = seconds
        self.said = said
        self.left = tuple(left)
        rest = f"; may not be killed, and left: {', '.join(self.left)}" if self.left else ""
        super().__init__(f"{command} did not end in {seconds:g} s and was killed; it said {said!r}{rest}", node)


class OutputLimitError(CommandError):
    """A command in a node wrote more than is kept; it was killed, with all that it had started.

    Attributes:
        command: its program.
        limit: how many bytes are kept, of both outputs together.
    """

    def __init__(self, node: str, command: str, limit: int) -> None:
        self.command = command
        self.limit = limit
        super().__init__(
            f"{command} wrote more than {limit:,} bytes and was killed; "
            "take them as they come, with exec(…, output=…), or keep more, with limit=",
            node,
        )


class NodeApiError(LucyError):
    """A node's own API failed.

    Attributes:
        node: which.
        operation: e.g. `sendPayment`.
        code: a stable word for the cause, e.g. `connection_refused`, `http_503`, `insufficient_funds`.
        reason: the cause in the words of who said it.
    """

    def __init__(self, node: str, operation: str, code: str, reason: str) -> None:
        self.node = node
        self.operation = operation
        self.code = code
        self.reason = reason
        super().__init__(f"{operation} on {node} failed ({code}): {reason}")


class NodeUnreachableError(NodeApiError):
    """The API could not be reached before the deadline.

    Attributes:
        seconds: how long it was tried.
        url: where.
    """

    def __init__(self, node: str, operation: str, code: str, reason: str, seconds: float, url: str) -> None:
        self.seconds = seconds
        self.url = url
        super().__init__(node, operation, code, f"{reason} (gave up after {seconds:g} s; {url})")
        self.reason = reason


class NodeRefusedError(NodeApiError):
    """The API answered, with an error: asking again won't help.

    Attributes:
        extensions: what the node said besides the message, as it came.
    """

    def __init__(
        self, node: str, operation: str, code: str, reason: str, extensions: Mapping[str, object] | None = None
    ) -> None:
        self.extensions = dict(extensions or {})
        super().__init__(node, operation, code, reason)
