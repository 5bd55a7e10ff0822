"""A container as a place of faults: what it is like, and how it becomes what is wanted.

Only differences are made, so bringing a place to the condition that it is in costs nothing, and what failed halfway is
tried again by asking once more. Its namespaces are held open from the first fault on: a process id may soon be somebody
else's, a descriptor is this container's for as long as it is open.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, final

from lucy_engines.docker.api.caller import Caller, Refusal
from lucy_engines.docker.api.endpoint import api_path
from lucy_engines.docker.faults import delayer
from lucy_engines.docker.faults.orders import FaultPlace
from lucy_engines.docker.faults.scripts import (
    filter_script,
    needs_shaping,
    queue_script,
    shaping_script,
    unfilter_script,
    unqueue_script,
)
from lucy_engines.docker.faults.tools import Trouble, Unable, run
from lucy_engines.docker.faults.wanted import Link, Wanted

CLONE_NEWNS = 0x00020000
MS_REMOUNT = 32
UNLIMITED = 9223372036854771712
"""What the kernel calls no limit of memory, in whole pages."""
PERIOD = 100_000
NOT_HERE = "its containers are no processes of this machine; use an Engine that runs here"

_libc = ctypes.CDLL(None, use_errno=True)


class Machine(NamedTuple):
    """What all places of one run have in common."""

    caller: Caller
    chain: str
    """A name of this run alone, in each container."""
    netem: bool


@final
class Place:
    """One container."""

    def __init__(self, machine: Machine, name: str, place: FaultPlace) -> None:
        """Look at it.

        Raises:
            Trouble: it isn't there, or doesn't run.
        """
        self.name = name
        self.container = place.container
        self._machine = machine
        self._clock = place.clock
        self._disk = place.disk
        self._is = Wanted()
        self._shaped: Mapping[str, Link] = {}
        self._interfaces: tuple[str, ...] = ()
        self._filtered = False
        self._queued: Mapping[str, Link] = {}
        self._queues: dict[Link, tuple[int, delayer.Delayer]] = {}
        self._last_queue = 0
        self._endpoints: dict[str, dict[str, Any]] | None = None
        """How it was connected, while it isn't."""
        self._disk_bytes = 0
        self._network = -1
        self._mounts = -1
        self._has_ipv6 = False
        self.addresses: tuple[str, ...] = ()
        shown = self.look()
        self._limits: dict[str, Any] = shown["HostConfig"]
        pid = shown["State"]["Pid"]
        if not shown["State"]["Running"]:
            raise Trouble(f"the container of {name} doesn't run")
        self.pidfd = self._open(pid)

    def _open(self, pid: int) -> int:
        """Hold the namespaces, where the container is one of this machine; return a pidfd, or -1."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return -1
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup") as groups:
            if self.container in groups.read():
                with contextlib.suppress(OSError):  # not root: what the Engine does is to be had all the same
                    self._network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                    self._mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
                return pidfd
        os.close(pidfd)
        return -1

    def close(self) -> None:
        for fd in (self.pidfd, self._network, self._mounts):
            if fd >= 0:
                os.close(fd)
        for _, held in self._queues.values():
            held.end()
        self._queues.clear()
        self.pidfd = self._network = self._mounts = -1

    def check(self, kind: str) -> None:
        """Refuse a fault that isn't to be had in this container.

        Raises:
            Unable: with the reason.
        """
        reason = ""
        match kind:
            case "Drop" | "Reset" | "Loss" | "Bandwidth" | "Latency":
                if self._network < 0:
                    reason = NOT_HERE
                elif os.fstat(self._network).st_ino == os.stat("/proc/self/ns/net").st_ino:
                    reason = f"{self.name} has no network of its own but the host's"
                elif self._has_ipv6:
                    reason = (
                        f"{self.name} has an IPv6 address, and only IPv4 can be disturbed; make the network without"
                    )
            case "Disconnect" if not self.addresses and not self._endpoints:
                reason = f"{self.name} has no network of its own to be taken off"
            case "ClockOffset" if self._clock is None:
                reason = (
                    "its clocks can't be set off; name the library that does it with --docker-libfaketime (Debian: "
                    "apt-get install libfaketime, /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1)"
                )
            case "DiskFull" if self._disk is None:
                reason = "its disks have no size of their own; give them one with --docker-disk-size"
            case "DiskFull" if self._mounts < 0:
                reason = NOT_HERE
        if reason:
            raise Unable(reason)

    # The network

    def look(self) -> Any:
        """Ask the Engine how the container is now."""
        shown = self._call("GET", "json")
        networks = shown["NetworkSettings"]["Networks"].values()
        self.addresses = tuple(each["IPAddress"] for each in networks if each["IPAddress"])
        self._has_ipv6 = any(each.get("GlobalIPv6Address") for each in networks)
        return shown

    def connect(self, *, connected: bool) -> None:
        """Put it on its networks or take it off them."""
        if connected == (self._endpoints is None):
            return
        if connected:
            while self._endpoints:
                network, endpoint = next(iter(self._endpoints.items()))
                self._call_network(network, "connect", {"EndpointConfig": endpoint})
                del self._endpoints[network]
            self._endpoints = None
        else:
            networks = self.look()["NetworkSettings"]["Networks"].values()
            self._endpoints = {}
            for each in networks:
                self._call_network(each["NetworkID"], "disconnect", {})
                self._endpoints[each["NetworkID"]] = {
                    "Aliases": own_aliases(self.container, each["Aliases"]),
                    "Links": each["Links"],
                    "IPAMConfig": each["IPAMConfig"],
                    "DriverOpts": each["DriverOpts"],
                }
            self._shaped, self._interfaces = {}, ()  # gone with their interface
        self.look()

    def settle_here(self, wanted: Wanted) -> None:
        """Bring about, without the Engine, what is wanted.

        Raises:
            Trouble: something could not be done.
        """
        if wanted.rules != self._is.rules:
            self._filter(wanted)
        queued, shaped = self._divide({} if self._endpoints is not None else wanted.links)
        if shaped != self._shaped:
            self._shape(shaped)
        self._queue(queued)
        if wanted.disk_full != self._is.disk_full:
            self._fill_disk(full=wanted.disk_full)
            self._is = self._is._replace(disk_full=wanted.disk_full)
        if wanted.clock != self._is.clock and self._clock is not None:
            new = f"{self._clock}.new"
            try:
                # A container's root may write there too, and lead us elsewhere by a link of that name.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new)
                how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(new, how, 0o644), "w") as file:
                    file.write(f"{wanted.clock:+f}\n")
                    os.fchmod(file.fileno(), 0o644)
                os.replace(new, self._clock)
            except OSError as error:
                reason = f"the file that the clock of {self.name} follows can't be written: {new}: {error.strerror}"
                raise Trouble(reason) from error
            self._is = self._is._replace(clock=wanted.clock)

    def _inside(self, command: list[str], script: str = "") -> str:
        if self._network < 0:
            raise Unable(NOT_HERE)
        entry = f"--net=/proc/self/fd/{self._network}"
        return run(["nsenter", entry, *command], script, (self._network,))

    def _filter(self, wanted: Wanted) -> None:
        chain = self._machine.chain
        script = filter_script(chain, wanted.rules, is_there=self._filtered) if wanted.rules else unfilter_script(chain)
        self._inside(["iptables-restore", "--noflush", "-w", "10"], script)
        self._filtered = bool(wanted.rules)
        self._is = self._is._replace(rules=wanted.rules)

    def _divide(self, links: Mapping[str, Link]) -> tuple[dict[str, Link], dict[str, Link]]:
        """Say what queues in user space are for, and what is for tc."""
        if self._machine.netem:
            return {}, dict(links)
        return (
            {peer: Link(None, link.delay, link.jitter) for peer, link in links.items() if link.delay},
            {peer: Link(link.bytes_per_second) for peer, link in links.items() if link.bytes_per_second is not None},
        )

    def _shape(self, links: Mapping[str, Link]) -> None:
        if not self._interfaces:
            listed = self._inside(["ip", "-o", "-4", "address"]).splitlines()
            self._interfaces = tuple(dict.fromkeys(line.split()[1] for line in listed if " lo " not in line))
        if not self._shaped:
            self._refuse_strangers()
        for interface in self._interfaces:
            if self._shaped:
                self._inside(["tc", "qdisc", "del", "dev", interface, "root"])
            if needs_shaping(links, netem=self._machine.netem):
                self._inside(["tc", "-batch", "-"], shaping_script(interface, links, netem=self._machine.netem))
        self._shaped = dict(links)

    def _refuse_strangers(self) -> None:
        for line in self._inside(["tc", "qdisc", "show"]).splitlines():
            kind, device = line.split()[1], line.partition(" dev ")[2].split()[0]
            if device in self._interfaces and kind not in ("noqueue", "pfifo_fast", "fq_codel", "mq"):
                raise Trouble(f"somebody else shapes {device} of {self.name} ({line.strip()}); remove that first")

    def _queue(self, links: Mapping[str, Link]) -> None:
        wanted = set(links.values())
        if links == self._queued:
            return
        for link in sorted(wanted - set(self._queues)):
            self._last_queue += 1
            try:
                held = delayer.start(self._network, self._last_queue, link.delay, link.jitter)
            except OSError as error:
                reason = f"this kernel has neither netem nor a queue for packets in user space ({error.strerror})"
                raise Unable(reason) from error
            self._queues[link] = (self._last_queue, held)
        chain = self._machine.chain
        if links:
            numbers = {peer: self._queues[link][0] for peer, link in links.items()}
            script = queue_script(chain, numbers, is_there=bool(self._queued))
        else:
            script = unqueue_script(chain)
        self._inside(["iptables-restore", "--noflush", "-w", "10"], script)
        self._queued = dict(links)
        for link in set(self._queues) - wanted:
            self._queues.pop(link)[1].end()

    def _fill_disk(self, *, full: bool) -> None:
        """Give the disk the size that is used, or its own again."""
        told, tell = os.pipe2(os.O_CLOEXEC)
        size = self._disk_bytes
        pid = os.fork()
        if pid == 0:
            try:
                delayer.enter(self._mounts, CLONE_NEWNS)
                os.write(tell, str(resize(self._disk or "", None if full else size)).encode())
            except OSError as error:
                os.write(tell, f"-{error.errno}".encode())
            finally:
                os._exit(0)
        os.close(tell)
        os.waitpid(pid, 0)
        answer = int(os.read(told, 64) or b"-5")
        os.close(told)
        if answer < 0:
            raise Trouble(f"the disk at {self._disk} of {self.name} can't be resized: {os.strerror(-answer)}")
        if full:
            self._disk_bytes = answer

    # The Engine

    def settle_there(self, wanted: Wanted) -> None:
        """Have the Engine bring about what is wanted.

        Raises:
            Trouble: something could not be done.
        """
        if wanted.memory != self._is.memory:
            self._limit_memory(wanted.memory)
            self._is = self._is._replace(memory=wanted.memory)
        if wanted.cpus != self._is.cpus:
            self._update(self._cpu_limit(wanted.cpus))
            self._is = self._is._replace(cpus=wanted.cpus)
        if wanted.frozen != self._is.frozen:
            self._freeze(frozen=wanted.frozen)
            self._is = self._is._replace(frozen=wanted.frozen)

    def _freeze(self, *, frozen: bool) -> None:
        try:
            self._call("POST", "pause" if frozen else "unpause")
        except Trouble:
            # Somebody may have been faster, and Engines have several ways of saying so.
            if self._call("GET", "json")["State"]["Paused"] != frozen:
                raise

    def _limit_memory(self, limit: int | None) -> None:
        own, swap = self._limits["Memory"], self._limits["MemorySwap"]
        if limit is not None and own and limit >= own:
            limit = None  # the container's own is the tighter one
        if limit is not None:
            self._update({"Memory": limit, "MemorySwap": limit})
        elif own:
            self._update({"Memory": own, "MemorySwap": swap})
        else:
            try:
                self._update({"Memory": UNLIMITED, "MemorySwap": -1})
            except Trouble:
                # With cgroups of version 1 swap isn't raised first, and may be no smaller than memory.
                self._update({"Memory": UNLIMITED, "MemorySwap": UNLIMITED})

    def _cpu_limit(self, cpus: float | None) -> dict[str, Any]:
        nano, quota, period = (self._limits[name] for name in ("NanoCpus", "CpuQuota", "CpuPeriod"))
        if nano:
            return {"NanoCpus": nano if cpus is None else min(nano, int(cpus * 1e9))}
        if quota > 0:
            own = quota / (period or PERIOD)
            return {"CpuPeriod": period or PERIOD, "CpuQuota": int(min(own, cpus or own) * (period or PERIOD))}
        return {"CpuPeriod": PERIOD, "CpuQuota": -1 if cpus is None else int(cpus * PERIOD)}

    def _update(self, body: dict[str, Any]) -> None:
        self._call("POST", "update", body)

    def _call(self, method: str, what: str, body: object = None) -> Any:
        return self._ask(method, api_path("containers", self.container, what), body)

    def _call_network(self, network: str, what: str, body: dict[str, Any]) -> None:
        self._ask("POST", api_path("networks", network, what), {"Container": self.container, **body})

    def _ask(self, method: str, path: str, body: object) -> Any:
        try:
            return self._machine.caller.call(method, path, body)
        except Refusal as refusal:
            raise Trouble(f"the Docker Engine refused {method} /{path}: {refusal}") from refusal
        except OSError as error:
            raise Trouble(f"the Docker Engine can't be asked for {method} /{path}: {error}") from error


def own_aliases(container: str, aliases: Iterable[str] | None) -> list[str]:
    """Leave out the short id, which the Engine adds by itself; a node called `a` may well begin the same way."""
    return [alias for alias in aliases or () if alias != container[:12]]


def resize(path: str, size: int | None) -> int:
    """Give the tmpfs at a path a size, or the one that it uses; return the size that it had.

    Raises:
        OSError: there is none, or what it holds is larger.
    """
    now = os.statvfs(path)
    used = (now.f_blocks - now.f_bfree) * now.f_frsize
    data = f"size={max(used, now.f_frsize) if size is None else size}".encode()
    flags = MS_REMOUNT | now.f_flag & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)
    if _libc.mount(b"none", path.encode(), None, flags, data):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return now.f_blocks * now.f_frsize
