"""Three real etcds, as they come: a leader is lost and replaced, a follower sleeps, a minority stays quiet."""

import msgspec
import pytest

import lucy_core as lucy

NAMES = ("a", "b", "c")
PEERS = ",".join(f"{name}=http://{{host:{name}}}:{{port:{name}.peer}}" for name in NAMES)


@lucy.event(pattern=r"(?P<member>\w+) became leader at term (?P<term>\d+)")
class BecameLeader(msgspec.Struct, frozen=True):
    member: str
    term: int


@lucy.event(pattern=r"is starting a new election at term \d+")
class Campaigned(msgspec.Struct, frozen=True): ...


def member(name: str) -> lucy.NodeSpec:
    return lucy.NodeSpec(
        name=name,
        role="etcd",
        command=(
            *("etcd", f"--name={name}", "--data-dir={state}/data", "--logger=zap"),
            *("--pre-vote", "--strict-reconfig-check=false", f"--initial-cluster={PEERS}"),
            *("--listen-client-urls=http://{bind}:{port:client}", "--listen-peer-urls=http://{bind}:{port:peer}"),
            f"--advertise-client-urls=http://{{host:{name}}}:{{port:client}}",
            f"--initial-advertise-peer-urls=http://{{host:{name}}}:{{port:peer}}",
        ),
        environment={"ETCDCTL_ENDPOINTS": f"http://{{host:{name}}}:{{port:client}}"},
        ports=("client", "peer"),
        ready=lucy.http_ok(name, "client", "/health"),
    )


cluster = lucy.NetworkSpec(name="etcd", nodes=tuple(map(member, NAMES)))
pytestmark = pytest.mark.lucy(topology=cluster)


async def etcdctl(node: lucy.Node, *words: str) -> str:
    done = await node.exec(("etcdctl", *words))
    assert done.code == 0, done.stderr.decode()
    return done.stdout.decode()


async def test_a_new_leader_takes_over(lucy_network: lucy.Network) -> None:
    first = (await lucy_network.so_far(BecameLeader))[-1]
    old = lucy_network[first.node]
    await etcdctl(old, "put", "colour", "green")
    mark = lucy_network.mark()
    await old.kill()
    second = await lucy_network.wait_for(BecameLeader, since=mark, hard=10)
    assert second.data.term > first.data.term
    assert await etcdctl(lucy_network[second.node], "get", "--print-value-only", "colour") == "green\n"
    await old.start()
    assert await etcdctl(old, "get", "--print-value-only", "colour") == "green\n"
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)


async def test_a_paused_follower_disturbs_nobody_and_catches_up(lucy_network: lucy.Network) -> None:
    leader = lucy_network[(await lucy_network.so_far(BecameLeader))[-1].node]
    follower = next(node for node in lucy_network if node is not leader)
    mark = lucy_network.mark()
    await follower.pause()
    await etcdctl(leader, "put", "colour", "green")
    await lucy_network.wait_for(lucy.never(BecameLeader), since=mark, lasting=2)
    await follower.resume()
    assert await etcdctl(follower, "get", "--print-value-only", "colour") == "green\n"
    assert not await lucy_network.so_far(BecameLeader, since=mark)
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)


async def test_a_minority_never_elects(lucy_network: lucy.Network) -> None:
    leader = (await lucy_network.so_far(BecameLeader))[-1].node
    lonely, other = (name for name in NAMES if name != leader)
    mark = lucy_network.mark()
    await lucy_network[other].kill()
    await lucy_network[leader].kill()
    await lucy_network.wait_for(lucy.seen(Campaigned, nodes=(lonely,), count=2), since=mark, hard=20)
    await lucy_network.wait_for(lucy.never(BecameLeader), since=mark, lasting=1)
    await lucy_network[other].start()
    await lucy_network.wait_for(BecameLeader, since=mark, hard=10)
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)


async def test_a_member_that_was_removed_comes_back_with_nothing(lucy_network: lucy.Network) -> None:
    first = (await lucy_network.so_far(BecameLeader))[-1]
    removed, other = lucy_network[first.node], next(node for node in lucy_network if node.name != first.node)
    await etcdctl(other, "put", "colour", "green")
    mark = lucy_network.mark()
    with removed.expecting_exit():
        await etcdctl(other, "member", "remove", first.data.member)
        await lucy_network.wait_for(lucy.seen(lucy.NodeExited, nodes=(first.node,)), since=mark, hard=10)
    await lucy_network.wait_for(BecameLeader, since=mark, hard=10)
    address = f"--peer-urls=http://{{host:{first.node}}}:{{port:{first.node}.peer}}"
    await etcdctl(other, "member", "add", first.node, address)
    await removed.start(fresh_state=True, arguments=(*removed.spec.command[1:], "--initial-cluster-state=existing"))
    assert await etcdctl(removed, "get", "--print-value-only", "colour") == "green\n"
    assert not await lucy_network.so_far(level=lucy.Severity.ERROR)
