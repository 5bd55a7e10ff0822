"""Completeness: every line that a node writes arrives whole, once, in order, by every way that an engine has.

The proof is in the lines: a scripted node numbers them, and notes how many it has written only after it has.
"""

import anyio

from lucy_core.capturing import run_files
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import State
from lucy_core.network.network import Network
from lucy_core.records.journal import JOURNAL, NodeExited
from lucy_core.testing.engine_conformance.suite import (
    WITHIN,
    Deploy,
    Script,
    Suite,
    Tally,
    caught_up,
    noted,
    said,
)
from lucy_core.testing.scripted_node import Numbered

LINES = 20_000
LARGE = 200_000
"""Bytes: three times what a pipe holds, fifty times what it takes in one piece."""


class CompletenessConformance(Suite):
    """Floods, large lines, deaths in mid-line."""

    async def test_every_line_of_a_flood_arrives_once_and_in_order(
        self, capture: str, deploy: Deploy, script: Script
    ) -> None:
        """Of two nodes that write as fast as they can and end at once, the last line without its newline."""
        nodes = [script(name, f"say:{LINES}:300", "mutter:end", "exit:0", wait_for_exit=True) for name in "ab"]
        async with deploy(*nodes, options=self.captures[capture], start=False) as network:
            tallies = {node.name: Tally(node) for node in network}
            with anyio.fail_after(WITHIN):
                await network.start_all()
                await ended(network, *tallies)
            await caught_up(network)
            for name, tally in tallies.items():
                assert tally.gaps == []
                assert tally.last == {1: LINES}
                assert network.ledger.of(name).torn == 1
            assert_accounted(network)
        await assert_replayed(network)

    async def test_large_lines_arrive_whole(self, capture: str, deploy: Deploy, script: Script) -> None:
        """Between small ones, on both outputs."""
        steps = ("say:3", f"say:5:{LARGE}", "say:3", "complain:not a log line", f"say:5:{LARGE}", "exit:0")
        async with deploy(
            script("a", *steps, wait_for_exit=True), options=self.captures[capture], start=False
        ) as network:
            tally = Tally(network["a"])
            with anyio.fail_after(WITHIN):
                await network.start_all()
                await ended(network, "a")
            await caught_up(network)
            assert (tally.gaps, tally.last) == ([], {1: 16})
            log = raw_log(network, "a")
            assert log.count(b"\nnot a log line\n") == 1
            assert sum(len(line) >= LARGE - 1 for line in log.split(b"\n")) == 10
            assert_accounted(network)

    async def test_restarts_under_flood_lose_no_line(self, capture: str, deploy: Deploy, script: Script) -> None:
        """SIGKILL falls anywhere, in mid-line too.

        What was written whole arrives whole, once, in order, up to the count that the node had noted; the line that was
        cut is torn, not lost.
        """
        async with deploy(script("a", "flood"), options=self.captures[capture]) as network:
            a = network["a"]
            tally = Tally(a)
            starts = self.restarts_under_flood + 1
            for start in range(1, starts + 1):
                fresh = a.events(Numbered, since=network.mark())
                await fresh.first(lambda event, start=start: event.data.start == start, within=WITHIN)  # type: ignore[misc]
                await a.kill()
                assert a.state is State.STOPPED
                if start < starts:
                    await a.start()
            await caught_up(network)
            assert tally.gaps == []
            assert list(tally.last) == list(range(1, starts + 1))
            whole = await noted(a)
            assert {start: last for start, last in tally.last.items() if last < whole.get(start, 1)} == {}
            assert network.ledger.of("a").torn <= starts
            assert_accounted(network)

    async def test_a_test_that_asks_for_nothing_records_everything(self, deploy: Deploy, script: Script) -> None:
        """Nothing has to be subscribed to: whoever asks later reads it back."""
        async with deploy(script("a", "say:500", "rest")) as network:
            await said(network["a"], 500)
            tally = Tally(network["a"])
            await said(network["a"], 500)
            await caught_up(network)
            assert (tally.gaps, tally.last) == ([], {1: 500})
            assert_accounted(network)


async def ended(network: Network, *names: str) -> None:
    """Wait until one-shot nodes have ended as they should."""
    for name in names:
        exits = network.events(NodeExited, since=0).filter(lambda event, name=name: event.data.node == name)  # type: ignore[misc]
        assert (await exits.first(within=WITHIN)).data.code == 0


def raw_log(network: Network, name: str) -> bytes:
    """Read a node's log as it was recorded."""
    assert network.directory is not None
    return (network.directory / run_files.log_of(name, JOURNAL)).read_bytes()


async def assert_replayed(network: Network) -> None:
    """A replay of the run that has ended tells of its lines what was told live, their way too."""
    assert network.directory is not None
    async with Pipeline.replay(network.directory) as replayed:
        assert replayed.ledger.complete, replayed.ledger.summary()
        for node in network:
            live, again = network.ledger.of(node.name), replayed.ledger.of(node.name)
            assert again.capture == live.capture != ""
            assert (again.lines, again.bytes, again.torn) == (live.lines, live.bytes, live.torn)
            assert (again.filtered_lines, again.blocked_ns) == (live.filtered_lines, live.blocked_ns)


def assert_accounted(network: Network) -> None:
    """The ledger is complete, and its figures are those of the recording."""
    assert network.ledger.complete, network.ledger.summary()
    for node in network:
        log = raw_log(network, node.name)
        account = network.ledger.of(node.name)
        assert account.bytes == len(log)
        assert account.undecodable == 0
