"""What a container should be like, given all faults in effect. Pure.

Nothing is ever undone by its opposite. Whenever a fault begins or ends, each container's wanted condition is worked out
anew from the faults that are left, and the difference to what it is like is made. So faults compose in any order, on
the same nodes too, and without faults the wanted condition is the container's own.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Made(NamedTuple):
    """A fault, as it came over the wire."""

    kind: str
    nodes: tuple[str, ...]
    others: tuple[str, ...] = ()
    amounts: Mapping[str, float] = {}

    @property
    def members(self) -> tuple[str, ...]:
        return (*self.nodes, *self.others)


class Rule(NamedTuple):
    """What becomes of packets from and to an address."""

    kind: str
    peer: str
    probability: float = 1.0


class Link(NamedTuple):
    """How packets travel to an address."""

    bytes_per_second: float | None = None
    delay: float = 0.0
    jitter: float = 0.0

    def under(self, fault: Made) -> "Link":
        """Return what one more fault makes of it: the tighter limit, the longer way."""
        amounts = fault.amounts
        rate = amounts.get("bytes_per_second")
        if rate is None:
            return self._replace(delay=self.delay + amounts["delay"], jitter=self.jitter + amounts["jitter"])
        return self._replace(
            bytes_per_second=rate if self.bytes_per_second is None else min(rate, self.bytes_per_second)
        )


class Wanted(NamedTuple):
    """The condition of one container. As made without arguments: no fault."""

    rules: tuple[Rule, ...] = ()
    links: Mapping[str, Link] = {}
    frozen: bool = False
    disk_full: bool = False
    memory: int | None = None
    cpus: float | None = None
    clock: float = 0.0


# A packet that vanishes isn't answered; one that is lost at random isn't either; the rest may be.
_RULES = ("Drop", "Loss", "Reset")
_LINKS = ("Bandwidth", "Latency")


def disconnected(node: str, faults: Iterable[Made]) -> bool:
    """Tell whether a node should be off the network."""
    return any(fault.kind == "Disconnect" and node in fault.nodes for fault in faults)


def wanted(node: str, faults: Iterable[Made], addresses: Mapping[str, tuple[str, ...]]) -> Wanted:
    """Work out a container's condition from the faults in effect and everybody's addresses."""
    faults = tuple(faults)
    mine = [fault for fault in faults if node in fault.nodes]

    def peers(names: Iterable[str]) -> list[str]:
        return [address for name in names for address in addresses.get(name, ())]

    # At one end alone, in both directions: so each packet is looked at once, and lost with its probability once.
    rules = [
        Rule(fault.kind, peer, fault.amounts.get("probability", 1.0))
        for kind in _RULES
        for fault in mine
        if fault.kind == kind
        for peer in peers(fault.others)
    ]
    # At both ends, on what leaves: a queue can only hold back what has not been sent.
    links: dict[str, Link] = {}
    for fault in faults:
        if fault.kind in _LINKS and node in fault.members:
            for peer in peers(fault.others if node in fault.nodes else fault.nodes):
                links[peer] = links.get(peer, Link()).under(fault)
    return Wanted(
        rules=tuple(rules),
        links=links,
        frozen=any(fault.kind == "Pause" for fault in mine),
        disk_full=any(fault.kind == "DiskFull" for fault in mine),
        memory=min((int(fault.amounts["bytes"]) for fault in mine if fault.kind == "MemoryLimit"), default=None),
        cpus=min((fault.amounts["cpus"] for fault in mine if fault.kind == "CpuLimit"), default=None),
        clock=sum(fault.amounts["seconds"] for fault in mine if fault.kind == "ClockOffset"),
    )
