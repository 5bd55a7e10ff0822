"""The guardian: the parent of a run's nodes, which takes them along whenever and however Lucy ends.

A process of its own, standard library only, started in some 20 ms. When Lucy has ended, for which `kill -9` is as good
as any reason, every process that came from here is killed, the run's FIFOs are removed, and the guardian ends. It sees
that by a pidfd of Lucy's, which no child that she forked keeps open, and by her end of the socket, which she closes
when a run is over. It finds all that came from here because it is their *subreaper* (`kinship.py`). Should the guardian
itself be killed, the kernel kills each node (`PR_SET_PDEATHSIG`), and Lucy the rest.

What it is told, and says, are the forms of `orders.py`. Whenever a node's leader has ended, and what it left behind has
been killed, it says so, and whether the leader had been `asked` to end: nobody else is near enough to tell a death from
a stop that follows at once.

**Nothing here waits for anybody**, for while it waited, no fault would end and no death be told. A process that was
killed may take its time to end, and one of another user's (`sudo`) can't be killed at all: it is named in `left`, and
all else goes on. Lucy may be blocked: what she is told waits here.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import time
from typing import NamedTuple, final

from lucy_core.helpers.server import LATER, Outcome, Server
from lucy_engines.process import cgroups, orders
from lucy_engines.process.kinship import (
    MARKER,
    Child,
    Inode,
    Kinship,
    descendants,
    described,
    inode_of,
    kill_all,
    lives,
    runs,
    send_signal,
)
from lucy_engines.process.spawning import spawn

PR_SET_CHILD_SUBREAPER = 36
LONGEST_POLL = 3600.0
"""Seconds that it sleeps at a time: `poll` takes no more than 24 days, and time-outs may be for ever."""
STOP_SECONDS = 1.0
"""How long a process may take to stop; longer only where it waits for a disk."""
CLEAR_SECONDS = 5.0
"""How long what was killed may take to end; longer only where it waits for a disk. After that it is left, and named."""
FIRST_LOOK, LONGEST_LOOK = 0.001, 0.05
"""Seconds between two looks at what was killed and hasn't ended; its end rings, as a rule before that."""


def has_ended(child: int) -> bool:
    """Tell whether a child of this process has ended, and leave it to be reaped."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


class Ended(NamedTuple):
    """A child that has ended, before what it left has."""

    child: Child
    status: int
    after: float
    give_up: float


@final
class Guardian:
    """The loop: one thread, no locks."""

    def __init__(self, control: socket.socket, wakeup: int, lucy: int) -> None:
        self._server = Server(
            control,
            {
                orders.Fifo: self._keep_in_mind,
                orders.Spawn: self._spawn,
                orders.Signal: self._signal_family,
                orders.End: self._ask_all_to_end,
                orders.Exec: self._execute,
                orders.Cancel: self._cancel,
            },
        )
        self._wakeup = wakeup
        self._lucy = lucy
        self._children: dict[int, Child] = {}
        self._ended: list[Ended] = []
        self._fifos: set[str] = set()
        self._poll = select.poll()
        for fd in (control.fileno(), wakeup, lucy):
            self._poll.register(fd, select.POLLIN)
        self._me = os.getpid()
        self._kinship = Kinship(self._me)
        self._group = cgroups.own_group()
        self._full_groups: list[str] = []
        """Those of ended children that could not be removed."""
        self._started = 0
        self._named: set[int] = set()
        """Processes that can't be ended, and of which that was told."""
        self._next_look = float("inf")
        self._pause = FIRST_LOOK

    def run(self) -> None:
        """Serve until Lucy has ended or closed her end of the socket, then take everything down; so where it fails."""
        try:
            while self._turn():
                self._reap()
                self._clear()
                self._expire()
        finally:
            self._end()

    def _turn(self) -> bool:
        self._poll.modify(self._server.fileno(), self._server.awaited)
        for fd, _ in self._poll.poll(self._patience() * 1000):
            if fd == self._lucy:
                return False
            if fd == self._wakeup:
                with contextlib.suppress(BlockingIOError):
                    while os.read(fd, 4096):
                        pass
            if fd == self._server.fileno() and not self._server.serve():
                return False
        return True

    def _patience(self) -> float:
        ends = (min(child.deadline, child.thaw_at) for child in self._children.values())
        nearest = min(self._next_look, min(ends, default=float("inf")))
        # A millisecond more than none, lest it wakes before its time and finds nothing to do.
        return min(LONGEST_POLL, max(0.0, nearest - time.monotonic()) + 0.001)

    # What it is told

    def _keep_in_mind(self, order: orders.Fifo) -> None:
        self._fifos.add(order.fifo)

    def _signal_family(self, order: orders.Signal) -> orders.Signalled:
        child = self._children.get(order.pid)
        if child is None:
            return orders.Signalled()
        if order.signal in (signal.SIGSTOP, signal.SIGCONT):
            # A fault that freezes it ends here, whether Lucy's loop is blocked by then or not.
            child.thaw_at = time.monotonic() + order.lasting
        refused = self._signal(child, order.signal, alone=order.alone, ends=order.ends)
        return orders.Signalled(self._name([child.pid])[0] if child.pid in refused else None)

    def _ask_all_to_end(self, _: orders.End) -> None:
        for child in self._children.values():
            self._ask_to_end(child)

    def _spawn(self, order: orders.Spawn) -> orders.Spawned:
        with contextlib.ExitStack() as stack:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, null)
            opened: dict[str, int] = {}
            errors = order.errors or order.fifo
            for path in dict.fromkeys((order.fifo, errors)):
                # Opening for writing would wait for a reader; the capture process holds the FIFO open.
                opened[path] = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                stack.callback(os.close, opened[path])
                os.set_blocking(opened[path], True)
            descriptors = (null, opened[order.fifo], opened[errors])
            fifos = tuple(map(inode_of, opened.values()))
            return orders.Spawned(self._start(order, order.name, descriptors, fifos).pid)

    def _execute(self, order: orders.Exec) -> Outcome:
        if len(self._server.descriptors) != 3:
            raise ValueError("3 descriptors have to come with it")
        given, out, errors = self._server.descriptors
        child = self._start(order, "", (given, out, errors))
        self._answer_later(child)
        child.deadline = child.started + order.timeout
        return LATER

    def _answer_later(self, child: Child) -> None:
        if self._server.number is not None:
            child.replies.append(self._server.number)

    def _start(
        self,
        order: orders.Spawn | orders.Exec,
        name: str,
        descriptors: tuple[int, int, int],
        fifos: tuple[Inode, ...] = (),
    ) -> Child:
        self._started += 1
        mark = f"{self._me}-{self._started}"
        group = cgroups.make(self._group, mark)
        door = cgroups.door_of(group)
        try:
            environment = {**order.environment, MARKER: mark}
            pid = spawn(order.argv, environment, order.cwd, descriptors, self._me, door, order.identity)
        except BaseException:
            if group is not None:
                cgroups.remove(group)
            raise
        finally:
            if door is not None:
                os.close(door)
        child = self._children[pid] = Child(name, pid, mark, time.monotonic(), fifos=fifos, group=group)
        self._kinship.add(child)
        return child

    def _cancel(self, order: orders.Cancel) -> Outcome | None:
        """Kill a command; answered at its end, or now where it has ended."""
        for child in (*self._children.values(), *(ended.child for ended in self._ended)):
            if order.order in child.replies:
                self._answer_later(child)
                if child.pid in self._children:
                    self._kill_command(child)
                return LATER
        return None

    # What ends

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._kinship.reaped(pid)
            child = self._children.pop(pid, None)
            if child is not None:
                now = time.monotonic()
                self._ended.append(Ended(child, status, now - child.started, now + CLEAR_SECONDS))
                self._pause = FIRST_LOOK

    def _clear(self) -> None:
        """Kill what ended leaders left behind, so that nothing holds their FIFOs or ports; then tell of their ends."""
        now = time.monotonic()
        waiting: list[Ended] = []
        for ended in self._ended:
            left = self._kinship.family(ended.child)
            refused = kill_all(left, ended.child.group)
            if refused.issuperset(left) or now >= ended.give_up:
                self._kinship.remove(ended.child)
                if ended.child.group is not None and not cgroups.remove(ended.child.group):
                    self._full_groups.append(ended.child.group)
                self._report(ended, self._name([pid for pid in left if pid in refused or lives(pid)]))
            else:
                waiting.append(ended)
        self._ended = waiting
        self._next_look = now + self._pause if waiting else float("inf")
        self._pause = min(2 * self._pause, LONGEST_LOOK)

    def _name(self, left: list[int]) -> list[str]:
        """Describe processes that can't be ended, and remember that this was told."""
        self._named.update(left)
        return [described(pid) for pid in left]

    def _report(self, ended: Ended, left: list[str]) -> None:
        child, status = ended.child, ended.status
        if child.name == "":
            self._reply(child, os.waitstatus_to_exitcode(status), left)
            return
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None
        self._server.notify(orders.Exited(child.name, child.pid, code, number, ended.after, child.asked, tuple(left)))

    def _reply(self, child: Child, code: int, left: list[str]) -> None:
        """Answer the order to run a command, and those to cancel it; once."""
        replies, child.replies = child.replies, []
        for number in replies:
            self._server.reply(number, Outcome(orders.Executed(code, child.timed_out, tuple(left))))

    def _kill_command(self, child: Child) -> None:
        """Kill it; where we may not, its orders are answered now."""
        child.deadline = float("inf")
        if child.pid in self._signal(child, signal.SIGKILL, ends=True):
            self._reply(child, 0, self._name([child.pid]))

    def _expire(self) -> None:
        now = time.monotonic()
        for child in tuple(self._children.values()):
            if child.deadline <= now:
                child.timed_out = True
                self._kill_command(child)
            if child.thaw_at <= now:
                child.thaw_at = float("inf")
                self._signal(child, signal.SIGCONT)

    def _ask_to_end(self, child: Child) -> None:
        """Take note that it is about to be ended, unless it has ended already and wasn't reaped yet."""
        child.asked |= not has_ended(child.pid)

    def _signal(self, child: Child, number: int, *, alone: bool = False, ends: bool = False) -> set[int]:
        """Signal a family, or its leader alone; return those that we may not."""
        family = [child.pid] if alone else self._kinship.family(child)
        asked = child.asked
        if ends:
            self._ask_to_end(child)
        if number == signal.SIGKILL:
            refused = kill_all(family, child.group)
        else:
            refused = {pid for pid in family if not send_signal(pid, number)}
        if child.pid in refused:
            child.asked = asked  # it was not, for all that it can know
        if number == signal.SIGSTOP:
            # A signal is on its way for a moment, in which a node still writes.
            deadline = time.monotonic() + STOP_SECONDS
            while any(runs(pid) for pid in family if pid not in refused) and time.monotonic() < deadline:
                time.sleep(0.001)
        return refused

    def _end(self) -> None:
        """Kill all that came from here until nothing is left that we may kill, and remove the FIFOs."""
        children = [*self._children.values(), *(ended.child for ended in self._ended)]
        groups = [*self._full_groups, *(child.group for child in children if child.group is not None)]
        give_up = time.monotonic() + CLEAR_SECONDS
        left: list[int] = []
        while (left := [pid for pid in self._all(groups) if lives(pid)]) and time.monotonic() < give_up:
            refused = kill_all(left)
            if refused:
                refused.difference_update(*map(cgroups.kill_members, groups))
            if refused.issuperset(left):
                break
            _bury()
            time.sleep(FIRST_LOOK)
        _bury()  # the last of them too: init may take its time, and a zombie's number looks like a node that lives
        for path in self._fifos:
            with contextlib.suppress(OSError, ValueError):
                os.unlink(path)
        for group in groups:
            cgroups.remove(group)
        left = [pid for pid in left if pid not in self._named and lives(pid)]
        if left:
            self._server.notify(orders.Left(tuple(self._name(left))))

    def _all(self, groups: list[str]) -> list[int]:
        return list(
            dict.fromkeys([*descendants(self._me), *(pid for group in groups for pid in cgroups.members(group))])
        )


def _bury() -> None:
    """Take note of the children that are dead."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(control: socket.socket, lucy: int) -> None:
    """Be the guardian."""
    wakeup, ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    Guardian(control, wakeup, lucy).run()
