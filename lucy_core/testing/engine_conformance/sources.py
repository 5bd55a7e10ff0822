"""Sources: where a node's lines come from beside one output. What an engine can't tell apart or follow, it refuses."""

from pathlib import Path

from lucy_core.engine import Capability, Engine
from lucy_core.network.network import Network
from lucy_core.records.journal import NodeExited
from lucy_core.records.record import Line
from lucy_core.testing.engine_conformance.suite import Deploy, Script, Suite, caught_up, takes


class SourceConformance(Suite):
    """Files that a daemon writes, and its two streams."""

    async def test_files_that_a_node_writes_are_followed_through_rotation(
        self, deploy: Deploy, script: Script, engine: Engine
    ) -> None:
        """Each is a source of the node, with a log of its own."""
        steps = (
            *("append:log/a.log:1", "append:log/a.txt:none", "append:log/b.log:one"),
            *("move:log/a.log:log/a-old.log", "append:log/a.log:2", "print:done", "exit:0"),
        )
        files = {"log/kept": b""}  # in a directory that is there already, no first name of a file is missed
        node = script("a", *steps, files=files, wait_for_exit=True, logs=("log/*.log",), ready=NodeExited)
        if not await takes(engine, deploy, node, Capability.LOGS):
            return
        async with deploy(node) as network:
            said = await lines(network, "a")
            assert said["log/a.log"] == [b"1", b"2"]
            assert said["log/b.log"] == [b"one"]
            assert b"done" in said[""]
            assert set(said) == {"", "log/a.log", "log/b.log"}
            assert network.ledger.complete, network.ledger.summary()
            assert network.ledger.of("a/log/a.log").lines == 2

    async def test_the_two_streams_of_a_node_are_told_apart(
        self, deploy: Deploy, script: Script, engine: Engine, tmp_path: Path
    ) -> None:
        """Over restarts too, by each way of capture."""
        node = script("a", "print:out", "complain:error", "rest", streams="apart", ready="error")
        if not await takes(engine, deploy, node, Capability.STREAMS):
            return
        for capture, options in (self.captures or {"as it is": {}}).items():
            async with deploy(node, options=options, run_directory=tmp_path / capture) as network:
                await network["a"].restart()
                await network["a"].stop()
                said = await lines(network, "a")
                assert said["stderr"] == [b"error", b"error"], capture
                assert [line for line in said["stdout"] if line == b"out"] == [b"out", b"out"], capture
                assert set(said) == {"stdout", "stderr"}, capture
                assert network.ledger.complete, (capture, network.ledger.summary())


async def lines(network: Network, name: str) -> dict[str, list[bytes]]:
    """Return what each source of a node has said so far."""
    found: dict[str, list[bytes]] = {}

    def take(line: Line) -> None:
        found.setdefault(line.source, []).append(line.raw)

    stop = network.lines(nodes=(name,), since=0).subscribe(take)
    await caught_up(network)
    stop()
    return found
