"""Latency where the kernel has no netem: a process that holds packets back in an NFQUEUE.

The kernel hands over a packet's number and waits for a verdict; the packet itself stays where it is. A verdict given
later is a packet sent later, whatever protocol it is of. Packets leave in the order in which they came, jitter or not,
so that one batch verdict lets all go that are due.

Netlink by the standard library: the messages are linux/netfilter/nfnetlink_queue.h. The process is forked by the
warden, for it needs a network namespace of its own, and ends with it; then packets pass undelayed.
"""

import contextlib
import ctypes
import os
import random
import select
import signal
import socket
import struct
import time
from collections import deque
from typing import NamedTuple, NoReturn

NETLINK_NETFILTER = 12
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
QUEUE = 3 << 8
PACKET, CONFIG, BATCH = QUEUE | 0, QUEUE | 2, QUEUE | 3
PACKET_HEADER = 1
VERDICT = 2
COMMAND, PARAMETERS, LENGTH, MASK, FLAGS = 1, 2, 3, 4, 5
BIND, COPY_META, GSO, ACCEPT = 1, 1, 4, 1
MOST_PACKETS = 1 << 16
BUFFER_BYTES = 1 << 23

_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: int, kind: int) -> None:
    """Move this process, which must have one thread, into a namespace.

    Raises:
        OSError: it isn't let in.
    """
    if _libc.setns(namespace, kind):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def attribute(kind: int, value: bytes) -> bytes:
    """Pack a netlink attribute."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def message(kind: int, queue: int, attributes: bytes, flags: int = NLM_F_REQUEST) -> bytes:
    """Pack a message about a queue."""
    body = struct.pack("=BBH", 0, 0, socket.htons(queue)) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def packet_numbers(data: bytes) -> list[int]:
    """Return the numbers of the packets that the kernel tells of.

    Raises:
        OSError: it refused something.
    """
    numbers = []
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data, at + 16)
            if code:
                raise OSError(-code, os.strerror(-code))
        elif kind == PACKET:
            inside, end = at + 20, at + length
            while inside + 4 <= end:
                size, name = struct.unpack_from("=HH", data, inside)
                if name == PACKET_HEADER:
                    numbers.append(struct.unpack_from(">I", data, inside + 4)[0])
                inside += size + 3 & ~3
        at += length + 3 & ~3
    return numbers


def bind(queue: int) -> socket.socket:
    """Serve a queue of this network namespace.

    Raises:
        OSError: the kernel has no such thing, or doesn't let us.
    """
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    link.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    link.bind((0, 0))
    for attributes in (
        attribute(COMMAND, struct.pack(">BBH", BIND, 0, 0)),
        attribute(PARAMETERS, struct.pack(">IB", 0, COPY_META)),
        attribute(LENGTH, struct.pack(">I", MOST_PACKETS))
        # A packet that is to be cut later stays whole until then, and is one number instead of forty.
        + attribute(FLAGS, struct.pack(">I", GSO))
        + attribute(MASK, struct.pack(">I", GSO)),
    ):
        link.send(message(CONFIG, queue, attributes, NLM_F_REQUEST | NLM_F_ACK))
        packet_numbers(link.recv(1 << 16))
    return link


class Delayer(NamedTuple):
    """A process that serves one queue."""

    pid: int
    leash: int
    """Closing it ends the process."""

    def end(self) -> None:
        """Let all packets go, and wait until it is gone. Take its rule away first."""
        os.close(self.leash)
        os.waitpid(self.pid, 0)


def start(namespace: int, queue: int, delay: float, jitter: float) -> Delayer:
    """Fork a process that holds what comes into a queue back; return once it serves.

    Raises:
        OSError: it can't.
    """
    leash_end, leash = os.pipe2(os.O_CLOEXEC)
    report, told = os.pipe2(os.O_CLOEXEC)
    warden = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(warden, (namespace, leash_end, told), queue, delay, jitter)
    os.close(leash_end)
    os.close(told)
    try:
        failure = os.read(report, 64).decode()
    finally:
        os.close(report)
    if failure != "ready":
        Delayer(pid, leash).end()
        number = int(failure or 0)
        raise OSError(number, os.strerror(number))
    return Delayer(pid, leash)


def _child(warden: int, descriptors: tuple[int, int, int], queue: int, delay: float, jitter: float) -> NoReturn:
    namespace, leash, told = descriptors
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != warden:
            os._exit(1)
        kept = sorted(descriptors)
        # The warden's connection, above all: while a copy is open, nobody hears of the warden's end.
        for low, high in zip((3, *(fd + 1 for fd in kept)), (*kept, 1 << 16), strict=True):
            os.closerange(low, high)
        enter(namespace, CLONE_NEWNET)
        link = bind(queue)
        os.write(told, b"ready")
        os.close(told)
        hold_back(link, leash, queue, delay, jitter)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(told, str(error.errno).encode())
    finally:
        os._exit(0)


def hold_back(link: socket.socket, leash: int, queue: int, delay: float, jitter: float) -> None:
    """Let each packet go when it is due, until the leash is let go; then all at once."""
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(leash, select.POLLIN)
    waiting: deque[tuple[float, int]] = deque()

    def release(number: int) -> None:
        link.send(message(BATCH, queue, attribute(VERDICT, struct.pack(">II", ACCEPT, number))))

    while True:
        pause = None if not waiting else max(0.0, waiting[0][0] - time.monotonic()) * 1000 + 1
        for fd, _ in poll.poll(pause):
            if fd == leash:
                if waiting:
                    release(waiting[-1][1])
                return
            now = time.monotonic()
            for number in packet_numbers(link.recv(1 << 18)):
                due = now + delay + random.random() * jitter  # noqa: S311  # nobody is to be kept from guessing it
                waiting.append((max(due, waiting[-1][0]) if waiting else due, number))
        now = time.monotonic()
        last = None
        while waiting and waiting[0][0] <= now:
            last = waiting.popleft()[1]
        if last is not None:
            release(last)
