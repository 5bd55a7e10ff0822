"""PID 1 of a node's container: it starts and stops the node's daemon without the container.

Standard library only, Python 3.7 or newer, since it is mounted into images that are not ours. `puppeteer.sh` is the
same for images without such a Python. Both are started as `puppeteer -- <the daemon's argv>` and told the rest by
their environment:

- `LUCY_CAPTURE`: where the daemon's lines go. `fifo`: into the FIFO `LUCY_LOG`; the daemon's stdout and stderr *are*
  the FIFO, no byte passes through here. With `LUCY_STREAMS=apart` that one is stdout's, and stderr *is* the FIFO
  `LUCY_STDERR_LOG`. `engine`: to this process's stderr, just so, from where the Engine takes them.
  `shared` (tagged lines into a FIFO that several nodes share), `tcp` (to `LUCY_ADDRESS`) and any `LUCY_CAPTURE_FILTER`
  need a relay (`relay.py`). So does `engine` with streams apart: their lines are tagged. Over TCP those of stderr go to
  `LUCY_STDERR_ADDRESS` then.
- `LUCY_STATE`: the directory that `start fresh` empties. `LUCY_NODE_DIRECTORY`: where the daemon runs.
- `LUCY_USER`: as whom the daemon runs, `name`, `name:group` or numbers, of the image; the directory is given to that
  user before the first start. `LUCY_STOP_SIGNAL`: the number of what asks the daemon to end; SIGTERM by default.
  `LUCY_STOP_TO=daemon`: that goes to the daemon alone, and not to all that it started.
- `LUCY_AUTOSTART=1`: start the daemon at once, and end with its status when it ends by itself: for a network that no
  Lucy controls. Then puppeteer events go to the log too.

**The link.** Commands come on stdin, a line each: `<id> <verb> <word>...`; a byte outside `A-Za-z0-9_./:=@%+,-` is
written as backslash, 0 and three octal digits, which the shell's `printf %b` undoes. Verbs: `start [fresh] [other]
[NAME=VALUE...]`, `arguments +<word>...`, which are what follows the program at a `start other`, `stop <grace seconds>`,
`kill`, `signal <number> <daemon or group>`, `ping`. Replies and events go to stdout, a JSON object each:
`{"reply": id, "ok": true}` or `{"reply": id, "error": …}`; `{"event": "ready" | "started" | "exited" | "filtered" |
"log", …}`. A reply to `stop` and `kill` comes when the daemon and all that it started are gone and its last bytes are
on their way out. The end of stdin means that nobody commands any more, and no more than that.

**Its own lines**, `node_exited` and upstream's `node_offline`, go over the link too (`log`), and Lucy puts them into
the node's log: a daemon that was killed may have left half a line in the FIFO, and only its reader knows.

**Whose processes.** As PID 1 it inherits every orphan of the container, so "all that the daemon started" is: all that
descends from here. What `docker exec` runs does not. Outside of a container it makes itself a subreaper instead.

**Upstream's protocol** works beside it: SIGUSR2 starts, SIGUSR1 stops, `/root/daemon-active` is there while the daemon
runs; `start.sh` and `stop.sh` are mounted as `/start.sh` and `/stop.sh`. Unlike upstream's, a signal that makes no
sense now is forgotten, not kept for later, and the status of a daemon that dies is its own.

**A mark.** With `engine`, lines and link travel in two streams whose order to each other nobody keeps. So when the
daemon has ended, `RS LUCY <token> <number of the end> LF` follows its last byte on stderr.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lucy_engines.supervisor.relay import Relay

VERSION = 1
GRACE = 8.0
"""Seconds that the daemon gets at SIGTERM: `docker stop` kills after ten."""
LONGEST_POLL = 3600.0
"""Seconds that it sleeps at a time."""
OWN_NAMES = (
    *("CAPTURE", "LOG", "ADDRESS", "TOKEN", "STATE", "AUTOSTART", "CAPTURE_FILTER", "NODE_DIRECTORY"),
    *("USER", "STOP_SIGNAL", "STOP_TO", "STREAMS", "STDERR_LOG", "STDERR_ADDRESS"),
)
OFFLINE = (
    '{"puppeteer_script_event": true, "puppeteer_event_type": "node_offline", "level": "Info", '
    '"message":"daemon is being stopped by puppeteer script and is going offline"}'
)
"""Upstream's line, and that it tells of no error."""
PR_SET_CHILD_SUBREAPER = 36


def decode_word(word: bytes) -> bytes:
    r"""Undo the link's quoting: `\0ooo` is a byte."""
    return re.sub(rb"\\0([0-7]{1,3})", lambda found: bytes((int(found.group(1), 8) & 255,)), word)


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`; those that end meanwhile may be missing."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The program's name, in parentheses, may hold anything, parentheses too.
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    left = [pid]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def send_signal(pids: list[int], number: int) -> None:
    """Signal processes that may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def empty_directory(directory: str) -> None:
    """Remove all that is in a directory, and keep the directory, which may be a mount.

    Where the daemon has put a link in its place, to a bigger disk say, the link goes, and not what it leads to.
    """
    if os.path.islink(directory):
        os.unlink(directory)
        os.mkdir(directory, 0o700)
    if not os.path.isdir(directory):
        return
    for entry in os.listdir(directory):
        path = os.path.join(directory, entry)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def open_log(path: str, *, wait: bool) -> int:
    """Open a log, as a rule a FIFO, for blocking writes.

    With `wait`, a FIFO needs no reader: it fills up, and its writers wait until somebody comes.

    Raises:
        OSError: ENXIO where nobody reads a FIFO.
    """
    is_fifo = os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)
    how = (os.O_RDWR if wait else os.O_WRONLY | os.O_NONBLOCK) if is_fifo else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, how | os.O_CLOEXEC, 0o600)
    os.set_blocking(descriptor, True)
    return descriptor


class User:
    """As whom the daemon runs, as the image knows that user."""

    __slots__ = ("groups", "number", "variables")

    def __init__(self, text: str) -> None:
        """Look it up.

        Raises:
            ValueError: the image has no such user or group.
        """
        import grp  # most nodes need neither
        import pwd

        name, _, group = text.partition(":")
        try:
            entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            if not (name.isdigit() and group):
                raise ValueError(f"this image has no user {name}") from None
            entry = None
        try:
            own = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else -1
        except KeyError:
            raise ValueError(f"this image has no group {group}") from None
        self.variables = {}
        if entry is None:
            self.number, self.groups = int(name), [own]
        else:
            own = own if group else entry.pw_gid
            self.number, self.groups = entry.pw_uid, [own, *os.getgrouplist(entry.pw_name, own)]
            self.variables = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}

    def become(self) -> None:
        """Be that user from here on."""
        os.setgroups(self.groups)
        os.setgid(self.groups[0])
        os.setuid(self.number)

    def give(self, directory: str) -> None:
        """Give a directory, and all that is in it, to that user."""
        for place, directories, files in os.walk(directory, topdown=False):
            for name in (*directories, *files, "."):
                os.chown(os.path.join(place, name), self.number, self.groups[0], follow_symlinks=False)


class End:
    """How the daemon ended."""

    __slots__ = ("after", "at", "code", "signal", "status")

    def __init__(self, status: int, after: float) -> None:
        self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        self.signal = signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
        self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        """What a shell would say."""
        self.at = time.time()
        self.after = after

    def fields(self) -> dict[str, Any]:
        return {"code": self.code, "signal": self.signal, "at": round(self.at, 6), "after": round(self.after, 6)}

    def line(self) -> str:
        """The end as a line of the node's log."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.at)) + f".{int(self.at % 1 * 1e6):06d}Z"
        how = f"was killed by {self.signal}" if self.code is None else f"exited with code {self.code}"
        return json.dumps(
            {
                "timestamp": moment,
                "level": "Info",
                "puppeteer_script_event": True,
                "puppeteer_event_type": "node_exited",
                "message": f"daemon {how} {self.after:.1f} s after its start",
                "metadata": {"code": self.code, "signal": self.signal, "after": round(self.after, 6)},
            }
        )


class Daemon:
    """A started daemon: its leader, and what somebody wants of it."""

    __slots__ = ("asked", "deadline", "end", "pid", "process", "started")

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        self.started = time.monotonic()
        self.asked = False
        """Whether somebody wanted it to end."""
        self.deadline = float("inf")
        self.end: End | None = None


class Puppeteer:
    """The loop: one thread, no locks, and nothing in it waits but `poll`."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._argv = argv
        self._capture = environment.get("LUCY_CAPTURE", "fifo")
        self._filter = environment.get("LUCY_CAPTURE_FILTER", "")
        self._logs = [environment.get("LUCY_LOG", "/lucy/log")]
        self._apart = environment.get("LUCY_STREAMS") == "apart"
        if self._apart:
            self._logs.append(environment.get("LUCY_STDERR_LOG", "/lucy/log.stderr"))
        self._token = environment.get("LUCY_TOKEN", "")
        self._state = environment.get("LUCY_STATE", "")
        self._directory = environment.get("LUCY_NODE_DIRECTORY") or None
        self._autostart = environment.get("LUCY_AUTOSTART") == "1"
        self._user_text = environment.get("LUCY_USER", "")
        self._user: User | None = None
        self._stop_signal = int(environment.get("LUCY_STOP_SIGNAL") or signal.SIGTERM)
        self._stop_alone = environment.get("LUCY_STOP_TO") == "daemon"
        self._other: list[str] = []
        self._active = environment.get("LUCY_ACTIVE_FILE", "/root/daemon-active")
        self._own = environment
        self._environment = {
            name: value for name, value in environment.items() if name not in {f"LUCY_{own}" for own in OWN_NAMES}
        }
        self._me = os.getpid()
        self._daemon: Daemon | None = None
        self._relay: Relay | None = None
        self._ends = 0
        self._numbered = {}  # type: dict[str, int]
        self._waiting: list[str] = []
        self._incoming = b""
        self._outgoing = bytearray()
        self._linked = True
        self._status: int | None = None
        self._terminating = False
        self._wakeup, self._ring = os.pipe()
        for descriptor in (self._wakeup, self._ring):
            os.set_blocking(descriptor, False)

    def run(self) -> int:
        """Serve until SIGTERM, or until an unattended daemon has ended; return the exit status."""
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        with contextlib.suppress(OSError):
            os.set_blocking(1, False)
        self._set_active(active=False)
        self._say({"event": "ready", "version": VERSION, "form": "python"})
        if self._autostart:
            error = self._start(fresh=False)
            if error:
                self._complain(error)
                return 127
        while self._status is None or self._outgoing:
            self._turn()
        return self._status

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if self._linked:
            poll.register(0, select.POLLIN)
        if self._outgoing:
            poll.register(1, select.POLLOUT)
        relayed = self._relay.interests() if self._relay is not None else {}
        for descriptor, events in relayed.items():
            poll.register(descriptor, events)
        for descriptor, _ in poll.poll(self._patience()):
            if descriptor == self._wakeup:
                self._hear_signals()
            elif descriptor == 0:
                self._hear_link()
            elif descriptor == 1:
                self._flush()
        if self._relay is not None:
            self._relay.turn()
            for message in self._relay.messages():
                self._say(message)
        daemon = self._daemon
        if daemon is not None and daemon.end is None and daemon.deadline <= time.monotonic():
            daemon.deadline = float("inf")
            send_signal(descendants(self._me), signal.SIGKILL)
        if daemon is not None and daemon.end is not None and (self._relay is None or self._relay.finished):
            self._ended(daemon, daemon.end)

    def _patience(self) -> int | None:
        wait = self._daemon.deadline - time.monotonic() if self._daemon is not None else float("inf")
        if self._relay is not None:
            wait = min(wait, self._relay.patience())
        # Not for ever: `poll` takes no more milliseconds than 32 bits hold, and a grace period may be longer.
        return None if wait == float("inf") else int(min(max(0.0, wait), LONGEST_POLL) * 1000) + 1

    # The daemon

    def _start(
        self, *, fresh: bool, environment: dict[str, str] | None = None, arguments: list[str] | None = None
    ) -> str:
        """Start the daemon; return what went wrong, or nothing."""
        if self._daemon is not None:
            return "the daemon runs already"
        if self._terminating:
            return "the container is being stopped"
        try:
            if fresh and self._state:
                empty_directory(self._state)
            variables = self._become_owner()
            outputs = self._open_outputs()
        except (OSError, ValueError, ImportError) as error:
            return self._explain(error)
        try:
            process = subprocess.Popen(  # noqa: S603  # what this container is for
                self._argv if arguments is None else [self._argv[0], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[-1],
                cwd=self._directory,
                env={**self._environment, **variables, **(environment or {})},
                start_new_session=True,
                preexec_fn=None if self._user is None else self._user.become,  # noqa: PLW1509  # there are no threads
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # A ValueError is for words that no program can be given, with NUL in them; the last for who isn't root.
            if self._relay is not None:
                self._relay.close()
                self._relay = None
            if isinstance(error, OSError):
                return f"can't run {error.filename or self._argv[0]}: {error.strerror}"
            return f"can't run {self._argv[0]}: {error}"
        finally:
            for output in outputs:
                os.close(output)
        self._daemon = Daemon(process)
        self._set_active(active=True)
        self._say({"event": "started", "pid": process.pid, "at": round(time.time(), 6)})
        return ""

    def _become_owner(self) -> dict[str, str]:
        """Give the daemon's user its directory, once, and a new state; return what is said of a user by variables.

        Raises:
            ValueError: there is no such user.
            OSError: it can't be given.
        """
        if not self._user_text:
            return {}
        if self._user is None:
            user = User(self._user_text)
            if self._directory is not None:
                user.give(self._directory)
            self._user = user
        if self._state and os.path.isdir(self._state):
            os.chown(self._state, self._user.number, self._user.groups[0], follow_symlinks=False)
        ours = self._environment
        # What is there of PID 1's own says nothing of the daemon's.
        return {
            name: value
            for name, value in self._user.variables.items()
            if ours.get(name) in (None, os.path.expanduser("~root"), "root")
        }

    def _open_outputs(self) -> list[int]:
        """Open what the daemon writes to: one thing for both of its streams, or one for each."""
        if self._filter or self._capture in {"shared", "tcp"} or (self._apart and self._capture == "engine"):
            from lucy_engines.supervisor.relay import Relay  # most nodes need none

            self._relay = Relay(self._own, unattended=self._autostart, numbered=self._numbered)
            return self._relay.take_inputs()
        if self._capture == "engine":
            return [os.dup(2)]
        with contextlib.ExitStack() as undoing:
            opened = []  # type: list[int]
            for log in self._logs:
                opened.append(open_log(log, wait=self._autostart))
                undoing.callback(os.close, opened[-1])
            undoing.pop_all()
        return opened

    def _explain(self, error: Exception) -> str:
        if isinstance(error, OSError):
            if error.errno == errno.ENXIO:
                return f"nobody reads the log {error.filename}"
            return f"{error.filename or self._logs[0]}: {error.strerror}"
        return str(error)

    def _stop(self, grace: float) -> None:
        daemon = self._daemon
        if daemon is None or daemon.end is not None:
            return
        daemon.asked = True
        daemon.deadline = min(daemon.deadline, time.monotonic() + grace)
        family = descendants(self._me)
        if grace > 0:
            send_signal([daemon.pid] if self._stop_alone else family, self._stop_signal)
            send_signal(family, signal.SIGCONT)  # a frozen process can't act on a TERM

    def _signal(self, words: list[bytes]) -> str:
        """Signal the daemon, or all that came from it; return what went wrong, or nothing. One that ended is none."""
        if len(words) != 2 or not words[0].isdigit():
            return "a signal is a number, and whom it goes to"
        daemon = self._daemon
        if daemon is not None and daemon.end is None:
            send_signal([daemon.pid] if words[1] == b"daemon" else descendants(self._me), int(words[0]))
        return ""

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            daemon = self._daemon
            if daemon is not None and pid == daemon.pid:
                daemon.process.returncode = status  # it is waited for
                end = End(status, time.monotonic() - daemon.started)
                self._clear()
                daemon.end = end

    def _clear(self) -> None:
        """Kill what an ended daemon left behind, so that nothing holds its log or its ports."""
        while True:
            left = descendants(self._me)
            if not left:
                return
            send_signal(left, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def _ended(self, daemon: Daemon, end: End) -> None:
        """Say that the daemon is gone and its last bytes are out."""
        self._daemon = None
        self._ends += 1
        extra: dict[str, Any] = {"number": self._ends}
        if self._relay is not None:
            for message in self._relay.messages():
                self._say(message)
            extra.update(self._relay.account())
            self._numbered = self._relay.numbered
            self._relay.close()
            self._relay = None
        self._set_active(active=False)
        if self._capture == "engine":
            with contextlib.suppress(OSError):
                os.write(2, f"\x1eLUCY {self._token} {self._ends}\n".encode())
        lines = [end.line(), OFFLINE]
        if self._autostart:
            self._write_log(lines, torn=end.code is None)
        for line in lines:
            self._say({"event": "log", "line": line})
        self._say({"event": "exited", **end.fields(), **extra})
        for number in self._waiting:
            self._say({"reply": int(number), "ok": True})
        self._waiting = []
        if self._terminating:
            self._status = 0
        elif self._autostart and not daemon.asked:
            self._status = end.status

    def _write_log(self, lines: list[str], *, torn: bool) -> None:
        """Append lines where nobody listens at the link; a killed daemon may have left an unfinished line."""
        if self._capture not in {"fifo", "engine"}:
            return
        first, *others = self._logs
        self._append(first, "\n" * torn + "\n".join(lines) + "\n")
        for log in others:
            self._append(log, "\n" * torn)

    def _append(self, path: str, text: str) -> None:
        with contextlib.suppress(OSError):
            log = os.dup(2) if self._capture == "engine" else open_log(path, wait=False)
            try:
                os.write(log, text.encode())
            finally:
                os.close(log)

    def _set_active(self, *, active: bool) -> None:
        with contextlib.suppress(OSError):
            if active:
                with open(self._active, "w"):
                    pass
            else:
                os.unlink(self._active)

    # Signals and the link

    def _hear_signals(self) -> None:
        heard = set(os.read(self._wakeup, 4096))
        if signal.SIGCHLD in heard:
            self._reap()
        if signal.SIGTERM in heard or signal.SIGINT in heard:
            self._terminating = True
            self._stop(GRACE)
            if self._daemon is None:
                self._status = 0
        if signal.SIGUSR1 in heard:
            self._stop(GRACE)
        if signal.SIGUSR2 in heard and self._daemon is None:
            error = self._start(fresh=False)
            if error:
                self._complain(error)

    def _hear_link(self) -> None:
        try:
            chunk = os.read(0, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            self._linked = False
            return
        *lines, self._incoming = (self._incoming + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                self._obey([decode_word(word) for word in line.split()])

    def _obey(self, words: list[bytes]) -> None:
        number, verb, arguments = words[0].decode(errors="replace"), b"".join(words[1:2]), words[2:]
        if not number.isdigit():
            self._complain(f"a command begins with its number, not with {number!r}")
            return
        error = ""
        if verb == b"start":
            given = [os.fsdecode(word).partition("=") for word in arguments if b"=" in word]
            other, self._other = self._other if b"other" in arguments else None, []
            environment = {name: value for name, _, value in given}
            error = self._start(fresh=b"fresh" in arguments, environment=environment, arguments=other)
        elif verb == b"arguments":
            self._other = [os.fsdecode(word[1:]) for word in arguments]
        elif verb == b"signal":
            error = self._signal(arguments)
        elif verb in {b"stop", b"kill"}:
            grace = 0.0
            with contextlib.suppress(ValueError, IndexError):
                grace = float(arguments[0]) if verb == b"stop" else 0.0
            self._stop(grace)
            if self._daemon is not None:
                self._waiting.append(number)
                return
        elif verb != b"ping":
            error = f"no verb is called {verb.decode(errors='replace')!r}"
        self._say({"reply": int(number), "error": error} if error else {"reply": int(number), "ok": True})

    def _complain(self, text: str) -> None:
        self._say({"event": "complaint", "text": text})

    def _say(self, message: dict[str, Any]) -> None:
        self._outgoing += json.dumps(message).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(1, self._outgoing[:4096])]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # nobody is left to talk to


def become_reaper() -> None:
    """Inherit orphans where this isn't PID 1."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # not every small Python has it, and PID 1 doesn't need it

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> int:
    """Run as `puppeteer.py -- <argv>`."""
    argv = sys.argv[1:]
    if argv[:1] == ["--"]:
        argv = argv[1:]
    if not argv:
        sys.stderr.write("puppeteer.py: say which daemon to run: puppeteer.py -- <argv>\n")
        return 64
    # Bare: neither the image's own packages nor another Lucy among them are looked at.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if os.getpid() != 1:
        become_reaper()
    return Puppeteer(argv, dict(os.environ)).run()


if __name__ == "__main__":
    sys.exit(main())
