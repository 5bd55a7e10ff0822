"""A container's wanted condition as input for iptables-restore and tc. Pure.

Each script for iptables is one transaction. A chain is declared anew, which empties it, and filled in the same commit:
no packet ever meets half of the rules.
"""

from collections.abc import Iterable, Mapping

from lucy_engines.docker.faults.wanted import Link, Rule

QUEUE_PACKETS = 1000
UNLIMITED_BITS = 100_000_000_000


def filter_script(chain: str, rules: Iterable[Rule], *, is_there: bool) -> str:
    """Fill the chain through which a container's packets pass, and hook it in where it `is_there` not yet."""
    lines = ["*filter", f":{chain} - [0:0]"]
    for rule in rules:
        lines += [f"-A {chain} {side} {rule.peer} {_verdict(rule)}" for side in ("-s", "-d")]
        if rule.kind == "Reset":
            # A reset isn't answered by one, and must get through to whom it is meant for.
            lines[-2:-2] = [f"-A {chain} -p tcp --tcp-flags RST RST -j RETURN"]
    if not is_there:
        lines += [f"-I INPUT -j {chain}", f"-I OUTPUT -j {chain}"]
    return _committed(lines)


def _verdict(rule: Rule) -> str:
    match rule.kind:
        case "Reset":
            return "-p tcp -j REJECT --reject-with tcp-reset"
        case "Loss":
            return f"-m statistic --mode random --probability {rule.probability:.10f} -j DROP"
        case _:
            return "-j DROP"


def unfilter_script(chain: str) -> str:
    """Remove what `filter_script` made."""
    return _committed(["*filter", f"-D INPUT -j {chain}", f"-D OUTPUT -j {chain}", f"-F {chain}", f"-X {chain}"])


def queue_script(chain: str, queues: Mapping[str, int], *, is_there: bool) -> str:
    """Hand packets to an address to a queue in user space; where nobody serves it, they pass."""
    lines = ["*mangle", f":{chain} - [0:0]"]
    lines += [f"-A {chain} -d {peer} -j NFQUEUE --queue-num {queue} --queue-bypass" for peer, queue in queues.items()]
    # After all filters: a packet that a queue lets go isn't shown to the rules after its own.
    if not is_there:
        lines += [f"-I POSTROUTING -j {chain}"]
    return _committed(lines)


def unqueue_script(chain: str) -> str:
    """Remove what `queue_script` made."""
    return _committed(["*mangle", f"-D POSTROUTING -j {chain}", f"-F {chain}", f"-X {chain}"])


def _committed(lines: list[str]) -> str:
    return "\n".join((*lines, "COMMIT", ""))


def shaping_script(interface: str, links: Mapping[str, Link], *, netem: bool) -> str:
    """Give each address that is far or narrow a class of its own; the rest goes straight out."""
    device = f"dev {interface}"
    lines = [f"qdisc add {device} root handle 1: htb"]
    shaped = {peer: link for peer, link in links.items() if link.bytes_per_second is not None or netem}
    for number, (peer, link) in enumerate(shaped.items(), 1):
        bits = UNLIMITED_BITS if link.bytes_per_second is None else int(link.bytes_per_second * 8)
        lines += [
            f"class add {device} parent 1: classid 1:{number:x} htb rate {bits}bit quantum 1514",
            f"qdisc add {device} parent 1:{number:x} handle {number + 1:x}: {_queue(link, netem=netem)}",
            f"filter add {device} parent 1: protocol ip prio 1 u32 match ip dst {peer}/32 flowid 1:{number:x}",
        ]
    return "\n".join((*lines, ""))


def _queue(link: Link, *, netem: bool) -> str:
    if not (netem and link.delay):
        return f"pfifo limit {QUEUE_PACKETS}"
    # netem's jitter goes both ways around the delay, ours is added to it.
    half = link.jitter / 2
    jitter = f" {half * 1e6:.0f}us" if half else ""
    return f"netem limit {QUEUE_PACKETS * 10} delay {(link.delay + half) * 1e6:.0f}us{jitter}"


def needs_shaping(links: Mapping[str, Link], *, netem: bool) -> bool:
    """Tell whether there is anything for tc to do."""
    return any(link.bytes_per_second is not None or netem for link in links.values())
