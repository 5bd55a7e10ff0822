"""A real Redis, as it comes: a primary with two replicas, and three Sentinels that watch over them."""

import msgspec
import pytest

import lucy_core as lucy

SERVERS, SENTINELS = ("primary", "r1", "r2"), ("s1", "s2", "s3")
PRIMARY = "redis-server --appendonly yes --repl-diskless-sync-delay 0"
REPLICA = f"{PRIMARY} --replicaof {{host:primary}} {{port:primary.client}}"
SENTINEL = (
    "redis-sentinel {file:conf} --sentinel down-after-milliseconds main 1000 --sentinel failover-timeout main 3000"
)
WATCH = b"sentinel monitor main {host:primary} {port:primary.client} 2"
LOST = "Error condition on socket for SYNC: |Failed to read response from the server: "


@lucy.event(pattern=r"\+switch-master main \S+ \d+ \S+ (?P<port>\d+)")
class Switched(msgspec.Struct, frozen=True):
    port: int


@lucy.event(pattern=(r"\+sentinel sentinel", r"\+slave slave"))
class Met(msgspec.Struct, frozen=True): ...


@lucy.event(pattern=rf"(?i)^(?:{LOST})")
class PrimaryLost(msgspec.Struct, frozen=True): ...


@lucy.event(pattern=rf"(?i)^(?!{LOST}).*\b(?:error|failed|can't|cannot|crashed)\b")
class Trouble(msgspec.Struct, frozen=True): ...


def node(name: str, command: str, **more) -> lucy.NodeSpec:
    words = f"{command} --bind {{bind}} --port {{port:client}} --dir {{state}}".split()
    return lucy.NodeSpec(name=name, role="redis", command=tuple(words), ports=("client",), **more)


primary = node("primary", PRIMARY, ready="Ready to accept connections")
in_step = lucy.any_of(lucy.logged("AOF rewrite finished successfully"), lucy.logged("Master accepted a Partial Resync"))
replicas = (node(name, REPLICA, after=("primary",), ready=in_step) for name in SERVERS[1:])
met = lucy.seen(Met, count=4)
sentinels = (node(name, SENTINEL, files={"conf": WATCH}, after=SERVERS, ready=met) for name in SENTINELS)
watched = lucy.NetworkSpec(name="redis", nodes=(primary, *replicas, *sentinels))
pytestmark = pytest.mark.lucy(topology=watched)


async def redis(node: lucy.Node, *commands: str) -> list[str]:
    """Give commands over one connection, for WAIT counts the replicas that have what came over its own."""
    done = await node.exec(("redis-cli", "-h", "{bind}", "-p", "{port:client}"), input="\n".join(commands).encode())
    assert done.code == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


async def test_a_replica_takes_over(lucy_network: lucy.Network) -> None:
    old, mark = lucy_network["primary"], lucy_network.mark()
    for name in SENTINELS:  # they look ten times as often, and make a lost primary a replica in a second instead of ten
        assert await redis(lucy_network[name], "sentinel debug info-period 1000 publish-period 200") == ["OK"]
    assert await redis(old, "set colour green", "wait 2 5000") == ["OK", "2"]
    await old.kill()
    switched = await lucy_network.wait_for(Switched, since=mark, hard=20)
    (new,) = (node for node in lucy_network if node.address("client")[1] == switched.data.port)
    assert await redis(new, "get colour", "set size large") == ["green", "OK"]
    await old.start()
    assert await redis(old, "get colour") == ["green"]
    await lucy_network.wait_for(lucy.each_node(in_step, nodes=("primary",)), since=mark, hard=30)
    assert await redis(old, "get size") == ["large"]
    assert not await lucy_network.so_far(Trouble, nodes=SERVERS, level=lucy.Severity.WARN)
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)


async def test_a_replica_catches_up_after_a_pause_and_after_losing_all(lucy_network: lucy.Network) -> None:
    primary, paused, emptied = (lucy_network[name] for name in SERVERS)
    await paused.pause()
    assert await redis(primary, "set colour green", "wait 2 500") == ["OK", "1"]
    await paused.resume()
    assert await redis(primary, "set size large", "wait 2 5000") == ["OK", "2"]
    assert await redis(paused, "get colour", "get size") == ["green", "large"]
    await emptied.restart(fresh_state=True)
    assert await redis(emptied, "get colour", "get size") == ["green", "large"]
    assert not await lucy_network.so_far(Trouble, PrimaryLost, nodes=SERVERS, level=lucy.Severity.WARN)
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)


async def test_a_minority_never_fails_over(lucy_network: lucy.Network) -> None:
    mark = lucy_network.mark()
    for name in ("s2", "s3", "primary"):
        await lucy_network[name].kill()
    await lucy_network.wait_for(lucy.logged("+sdown master main", nodes=("s1",)), since=mark, hard=10)
    await lucy_network.wait_for(lucy.never(Switched), since=mark, lasting=3)
    await lucy_network["s2"].start(until_ready=False)
    await lucy_network.wait_for(Switched, since=mark, hard=30)
    assert not await lucy_network.so_far(Trouble, nodes=SERVERS, level=lucy.Severity.WARN)
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)
