"""What can be done to a network on purpose: faults, as plain values.

A fault says what, to which nodes, and how much; for how long is its lease's affair (`network.leases`), and how it is
done the engine's. A fault of the network stands between two groups: `nodes` and `others`, where no `others` means all
the rest. It works in both directions, and on what these nodes send each other alone: neither what the members of a
group send among themselves nor what Lucy asks them is touched.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, TypeAlias, final, get_args

import msgspec

from lucy_core.arguments import Rule, fit, number_of
from lucy_core.errors import ArgumentError, FaultError, UnknownNodeError

CENTURY = 3.2e9
"""Seconds that a clock may be off: farther, calendars end."""


def _group(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ArgumentError(name, value, f"is one text; give a tuple of names: ({value!r},)")
    if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
        raise ArgumentError(name, value, "; give a tuple of names, e.g. ('a', 'b')")
    return value


def _number(is_meant: Callable[[float], bool], wanted: str) -> Rule:
    def take(value: Any, name: str) -> float:
        number = number_of(value, name)
        if not is_meant(number):
            raise ArgumentError(name, value, f"; give {wanted}")
        return number

    return take


class Fault(msgspec.Struct, frozen=True, tag=True):
    """Something that is done to nodes. The kinds below are all there are; engines say which they can do."""

    nodes: tuple[str, ...]
    """To whom it is done, by name."""

    rules: ClassVar[Mapping[str, Rule]] = {"nodes": _group}
    """What each field may be."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense on any engine.

        Raises:
            FaultError: with the field and what it should be.
        """
        fit(self, self.rules, lambda sentence: FaultError(self.kind, sentence))
        for group in ("nodes", "others"):
            names: tuple[str, ...] = getattr(self, group, ())
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise FaultError(self.kind, f"{group} names {_listed(twice)} more than once")
        if not self.nodes:
            raise FaultError(self.kind, "it names no node; give nodes=('a',)")

    @property
    def kind(self) -> str:
        """The fault's name: its class."""
        return type(self).__name__

    @property
    def members(self) -> tuple[str, ...]:
        """All nodes that it names."""
        return self.nodes

    @property
    def amount(self) -> str:
        """How much of it, in words; empty where there is no more and less."""
        return ""

    def __str__(self) -> str:
        amount = f" ({self.amount})" if self.amount else ""
        return f"{self.kind}{amount} of {_listed(self.nodes)}"

    def among(self, known: Iterable[str]) -> Self:
        """Return this fault for a network of these nodes.

        Raises:
            UnknownNodeError: it names a node that isn't there.
        """
        present = tuple(known)
        for name in self.members:
            if name not in present:
                raise UnknownNodeError(name, present)
        return self


class _LinkFault(Fault, frozen=True, tag=True):
    """A fault of what two groups of nodes send each other."""

    others: tuple[str, ...] = ()
    """The other group; empty: all nodes that aren't in the first."""

    rules: ClassVar[Mapping[str, Rule]] = {**Fault.rules, "others": _group}

    def __post_init__(self) -> None:
        super().__post_init__()
        both = sorted(set(self.nodes) & set(self.others))
        if both:
            raise FaultError(self.kind, f"{_listed(both)} is in both groups; a node has no link to itself")

    @property
    def members(self) -> tuple[str, ...]:
        return (*self.nodes, *self.others)

    def __str__(self) -> str:
        amount = f" ({self.amount})" if self.amount else ""
        return f"{self.kind}{amount} between {_listed(self.nodes)} and {_listed(self.others) or 'all others'}"

    def among(self, known: Iterable[str]) -> Self:
        present = tuple(known)
        super().among(present)
        if self.others:
            return self
        rest = tuple(name for name in present if name not in self.nodes)
        if not rest:
            raise FaultError(self.kind, "it names every node of the network, so that there are no others")
        return msgspec.structs.replace(self, others=rest)


@final
class Disconnect(Fault, frozen=True, tag=True):
    """The nodes are taken off the network, as by pulling the cable: nobody reaches them, Lucy neither."""


@final
class Pause(Fault, frozen=True, tag=True):
    """The nodes are frozen: they keep memory and connections, and do nothing."""


@final
class Drop(_LinkFault, frozen=True, tag=True):
    """Every packet between the groups vanishes: connections hang."""


@final
class Reset(_LinkFault, frozen=True, tag=True):
    """TCP between the groups is answered with a reset: connections break, new ones are refused."""


@final
class Loss(_LinkFault, frozen=True, tag=True, kw_only=True):
    """Each packet between the groups is lost with a probability."""

    probability: float
    """More than 0, at most 1."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **_LinkFault.rules,
        "probability": _number(lambda number: 0 < number <= 1, "more than 0 and at most 1"),
    }

    @property
    def amount(self) -> str:
        return f"{self.probability:.3g}"


@final
class Bandwidth(_LinkFault, frozen=True, tag=True, kw_only=True):
    """Each link between a node of one group and a node of the other carries no more than this, in each direction."""

    bytes_per_second: float
    """At least 1000."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **_LinkFault.rules,
        "bytes_per_second": _number(lambda number: 1000 <= number < math.inf, "1000 or more"),
    }

    @property
    def amount(self) -> str:
        return f"{self.bytes_per_second:g} bytes/s"


@final
class Latency(_LinkFault, frozen=True, tag=True, kw_only=True):
    """Each packet between the groups takes longer, in each direction: a round trip by at least twice `delay`.

    Seconds. Each packet waits `delay` and a random part of `jitter` more.
    """

    delay: float
    """Seconds, at most 60."""
    jitter: float = 0.0
    """Seconds, at most 60."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **_LinkFault.rules,
        "delay": _number(lambda number: 0 < number <= 60, "seconds, more than 0 and at most 60"),
        "jitter": _number(lambda number: 0 <= number <= 60, "seconds, from 0 to 60"),
    }

    @property
    def amount(self) -> str:
        return f"{self.delay:g} s" + (f" + {self.jitter:g} s" if self.jitter else "")


@final
class ClockOffset(Fault, frozen=True, tag=True, kw_only=True):
    """The nodes' wall clocks are off by this many seconds: ahead where positive. Monotonic clocks stay true."""

    seconds: float
    """How far the clock is off: ahead where positive, behind where negative."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **Fault.rules,
        "seconds": _number(lambda number: 0 < abs(number) <= CENTURY, "how far the clock is off, e.g. -3.5"),
    }

    @property
    def amount(self) -> str:
        return f"{self.seconds:+g} s"


@final
class DiskFull(Fault, frozen=True, tag=True):
    """The disks of the nodes' state directories are full: a write that needs room fails with ENOSPC."""


@final
class MemoryLimit(Fault, frozen=True, tag=True, kw_only=True):
    """The nodes may use no more memory than this; who wants more is killed by the kernel."""

    bytes: int
    """At least 1 MiB."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **Fault.rules,
        "bytes": _number(lambda number: isinstance(number, int) and number >= 1 << 20, "1048576 (1 MiB) or more"),
    }

    @property
    def amount(self) -> str:
        return f"{self.bytes} bytes"


@final
class CpuLimit(Fault, frozen=True, tag=True, kw_only=True):
    """The nodes may use no more processor time than this many processors' worth."""

    cpus: float
    """At least 0.01."""

    rules: ClassVar[Mapping[str, Rule]] = {
        **Fault.rules,
        "cpus": _number(lambda number: 0.01 <= number <= 1024, "0.01 or more"),
    }

    @property
    def amount(self) -> str:
        return f"{self.cpus:g} CPUs"


AnyFault: TypeAlias = (
    Disconnect | Pause | Drop | Reset | Loss | Bandwidth | Latency | ClockOffset | DiskFull | MemoryLimit | CpuLimit
)
"""Every kind, for decoding one out of a recording."""

FAULT_KINDS: frozenset[type[Fault]] = frozenset(get_args(AnyFault))
"""Every kind of fault that there is."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
