"""The guardian: the parent of a run's nodes, which takes them along whenever and however Lucy ends.

A process of its own, standard library only, started by file path in some 20 ms. Lucy holds the other end of a socket;
when that closes, for which `kill -9` is as good as any reason, every process that came from here is killed, the run's
FIFOs are removed, and the guardian ends. It finds them all because it is their *subreaper*: a grandchild that detaches
itself becomes the guardian's child, not init's. Should the guardian itself be killed, the kernel kills each node
(`PR_SET_PDEATHSIG`).

The wire: a JSON line a message. In: `{"op": "fifo" | "spawn" | "signal" | "end" | "exec", "id": …}`; out: a reply with
the same id, and `{"exited": …}` whenever a node's leader ends, after what it left behind has been killed. It says there
whether the leader had been `asked` to end: nobody else is near enough to tell a death from a stop that follows at once.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, final

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
OUTPUT_BYTES = 1 << 16
STOP_SECONDS = 1.0
"""How long a process may take to stop; longer only where it waits for a disk."""
MARKER = "LUCY_PROCESS"

_libc = ctypes.CDLL(None, use_errno=True)


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, parents before children; those that end meanwhile may be missing."""
    found: list[int] = []
    left = [pid]
    while left:
        parent = left.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{task}/children") as children:
                    numbers = [int(word) for word in children.read().split()]
                    found += numbers
                    left += numbers
    return found


def session_of(pid: int) -> int | None:
    """Return a process's session, or None where it is gone."""
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None


def runs(pid: int) -> bool:
    """Tell whether a process is neither stopped nor gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in ("T", "t", "Z", "X")
    return False


def has_ended(child: int) -> bool:
    """Tell whether a child of this process has ended, and leave it to be reaped."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def send_signal(pid: int, number: int) -> None:
    """Signal a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def has_marker(pid: int, marker: bytes) -> bool:
    """Tell whether a process was started with this marker in its environment."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environment:
        return marker in environment.read().split(b"\0")
    return False


@final
class Child:
    """A process that was asked for: a node's leader, or a command in its place."""

    __slots__ = (
        "asked",
        "deadline",
        "errors",
        "marker",
        "name",
        "output",
        "pid",
        "reply_to",
        "started",
        "streams",
        "thaw_at",
        "timed_out",
    )

    def __init__(self, name: str, pid: int, marker: str, reply_to: int | None = None) -> None:
        self.name = name
        self.marker = f"{MARKER}={marker}".encode()
        self.pid = pid
        self.started = time.monotonic()
        self.asked = False
        self.reply_to = reply_to
        self.output = bytearray()
        self.errors = bytearray()
        self.streams: dict[int, bytearray] = {}
        self.deadline = float("inf")
        self.timed_out = False
        self.thaw_at = float("inf")


def spawn(
    argv: list[str], environment: dict[str, str], directory: str, descriptors: tuple[int, int, int], guardian: int
) -> int:
    """Start a program in a session of its own, with default signals; return its pid.

    Raises:
        OSError: it can't be executed; the error of `execve`, sent back through a pipe that a successful one closes.
    """
    report, told = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guardian:
                os._exit(127)  # the guardian died before the line above
            for default in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(default, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for target, source in enumerate(descriptors):
                os.dup2(source, target)
            os.chdir(directory)
            os.execve(argv[0], argv, environment)  # noqa: S606  # the program that was asked for
        except OSError as error:
            os.write(told, f"{error.errno} {error.filename or argv[0]}".encode())
        except ValueError as error:  # a NUL in a word, or no name of a variable
            os.write(told, f"{errno.EINVAL} {error}".encode())
        finally:
            os._exit(127)
    os.close(told)
    try:
        failure = os.read(report, 4096).decode()
    finally:
        os.close(report)
    if failure:
        os.waitpid(pid, 0)
        number, _, name = failure.partition(" ")
        raise OSError(int(number), os.strerror(int(number)), name)
    return pid


@final
class Guardian:
    """The loop: one thread, no locks."""

    def __init__(self, control: socket.socket, wakeup: int) -> None:
        self._control = control
        self._wakeup = wakeup
        self._children: dict[int, Child] = {}
        self._streams: dict[int, Child] = {}
        self._fifos: set[str] = set()
        self._commands = bytearray()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._poll.register(wakeup, select.POLLIN)
        self._me = os.getpid()
        self._started = 0

    def run(self) -> None:
        """Serve until Lucy's end of the socket closes, then take everything down."""
        while True:
            deadline = min(
                (min(child.deadline, child.thaw_at) for child in self._children.values()), default=float("inf")
            )
            wait = None if deadline == float("inf") else max(0.0, deadline - time.monotonic()) * 1000 + 1
            for fd, _ in self._poll.poll(wait):
                if fd == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        while os.read(fd, 4096):
                            pass
                elif fd == self._control.fileno():
                    if not self._serve():
                        self._end()
                        return
                else:
                    self._read_stream(fd)
            self._reap()
            self._expire()

    def _serve(self) -> bool:
        try:
            chunk = self._control.recv(1 << 16)
        except OSError:
            return False
        if not chunk:
            return False
        self._commands += chunk
        *lines, rest = self._commands.split(b"\n")
        self._commands = bytearray(rest)
        for line in lines:
            command = json.loads(line)
            try:
                reply = self._obey(command)
            except OSError as error:
                name = f": {error.filename}" if error.filename else ""
                reply = {"error": f"{error.strerror}{name}"}
            if reply is not None:
                self._say({"id": command["id"], **reply})
        return True

    def _marked(self, environment: dict[str, str]) -> tuple[str, dict[str, str]]:
        self._started += 1
        marker = f"{self._me}-{self._started}"
        return marker, {**environment, MARKER: marker}

    def _obey(self, command: dict[str, Any]) -> dict[str, Any] | None:
        match command["op"]:
            case "fifo":
                self._fifos.add(command["fifo"])
                return {}
            case "spawn":
                null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                # Opening for writing would wait for a reader; the capture process holds the FIFO open.
                fifo = os.open(command["fifo"], os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                os.set_blocking(fifo, True)
                try:
                    marker, environment = self._marked(command["environment"])
                    pid = spawn(command["argv"], environment, command["cwd"], (null, fifo, fifo), self._me)
                finally:
                    os.close(null)
                    os.close(fifo)
                self._children[pid] = Child(command["name"], pid, marker)
                return {"pid": pid}
            case "signal":
                child = self._children.get(command["pid"])
                if child is not None:
                    # A fault that freezes it ends here, whether Lucy's loop is blocked by then or not.
                    child.thaw_at = time.monotonic() + command.get("lasting", float("inf"))
                    self._signal(child, command["signal"])
                return {}
            case "end":
                for child in self._children.values():
                    self._ask_to_end(child)
                return {}
            case "exec":
                self._execute(command)
                return None
            case other:
                return {"error": f"no command is called {other!r}"}

    def _execute(self, command: dict[str, Any]) -> None:
        marker, environment = self._marked(command["environment"])
        given = os.memfd_create("input", os.MFD_CLOEXEC)
        out, out_end = os.pipe2(os.O_CLOEXEC)
        errors, errors_end = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(given, bytes.fromhex(command["input"]))
            os.lseek(given, 0, os.SEEK_SET)
            pid = spawn(command["argv"], environment, command["cwd"], (given, out_end, errors_end), self._me)
        except OSError:
            os.close(out)
            os.close(errors)
            raise
        finally:
            for fd in (given, out_end, errors_end):
                os.close(fd)
        child = self._children[pid] = Child("", pid, marker, command["id"])
        child.deadline = child.started + command["timeout"]
        for fd, kept in ((out, child.output), (errors, child.errors)):
            child.streams[fd] = kept
            self._streams[fd] = child
            self._poll.register(fd, select.POLLIN)

    def _read_stream(self, fd: int) -> None:
        child = self._streams[fd]
        chunk = os.read(fd, OUTPUT_BYTES)
        if chunk:
            child.streams[fd] += chunk
            return
        self._poll.unregister(fd)
        os.close(fd)
        del self._streams[fd]
        del child.streams[fd]

    def _family(self, child: Child) -> list[int]:
        """Return all that came from a child and lives.

        It descends from it, shares its session, or, detached and orphaned, still carries its marker in the environment.
        """
        below = set(descendants(child.pid))
        marker = child.marker
        return [
            pid
            for pid in descendants(self._me)
            if pid == child.pid or pid in below or session_of(pid) == child.pid or has_marker(pid, marker)
        ]

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._clear(child)
                self._report(child, status, usage)

    def _clear(self, child: Child) -> None:
        """Kill what an ended leader left behind, so that nothing holds its FIFO or its ports."""
        while left := self._family(child):
            for pid in left:
                send_signal(pid, signal.SIGKILL)
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _report(self, child: Child, status: int, usage: resource.struct_rusage) -> None:
        end = {
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None,
            "after": time.monotonic() - child.started,
            "cpu": usage.ru_utime + usage.ru_stime,
            "asked": child.asked,
        }
        if child.reply_to is None:
            self._say({"exited": {"name": child.name, "pid": child.pid, **end}})
            return
        for fd in tuple(child.streams):
            while fd in self._streams:
                self._read_stream(fd)
        reply = {"stdout": child.output.hex(), "stderr": child.errors.hex(), "timed_out": child.timed_out}
        self._say({"id": child.reply_to, **reply, "code": os.waitstatus_to_exitcode(status)})

    def _expire(self) -> None:
        now = time.monotonic()
        for child in tuple(self._children.values()):
            if child.deadline <= now:
                child.timed_out = True
                child.deadline = float("inf")
                self._signal(child, signal.SIGKILL)
            if child.thaw_at <= now:
                child.thaw_at = float("inf")
                self._signal(child, signal.SIGCONT)

    def _ask_to_end(self, child: Child) -> None:
        """Take note that it is about to be ended, unless it has ended already and wasn't reaped yet."""
        child.asked |= not has_ended(child.pid)

    def _signal(self, child: Child, number: int) -> None:
        family = self._family(child)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            self._ask_to_end(child)
        for pid in family:
            send_signal(pid, number)
        if number == signal.SIGSTOP:
            # A signal is on its way for a moment, in which a node still writes.
            deadline = time.monotonic() + STOP_SECONDS
            while any(runs(pid) for pid in family) and time.monotonic() < deadline:
                time.sleep(0.001)

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _end(self) -> None:
        """Kill all that came from here until nothing is left, and remove the FIFOs."""
        while pids := descendants(self._me):
            for pid in pids:
                send_signal(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        for path in self._fifos:
            with contextlib.suppress(OSError):
                os.unlink(path)


def main() -> None:
    """Run the guardian on the inherited socket whose descriptor is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wakeup, ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(True)
    os.set_inheritable(control.fileno(), False)
    Guardian(control, wakeup).run()


if __name__ == "__main__":
    main()
