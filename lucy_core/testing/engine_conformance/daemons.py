"""What the daemon of a node is told beside its spec: signals, how it is asked to end, other arguments of one start."""

import anyio
import pytest

from lucy_core.engine import Capability, Engine, Reach
from lucy_core.errors import ArgumentError, DeployError, LifeCycleError, TopologyError, UnsupportedError
from lucy_core.records.journal import NodeExited
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, can, said, takes, told
from lucy_core.testing.scripted_node import Told


class DaemonConformance(Suite):
    """What an engine does with a daemon beyond starting and ending it, or refuses by name."""

    async def test_a_signal_reaches_the_daemon_or_all_that_came_from_it(self, deploy: Deploy, script: Script) -> None:
        """As it was sent to, while the node goes on, and not at a wrong moment."""
        async with deploy(script("a", "hear:SIGHUP", "brood:SIGHUP", "tick"), start=False) as network:
            a = network["a"]
            if not await can(network, Capability.SIGNAL, lambda: a.signal("SIGHUP")):
                return
            with pytest.raises(LifeCycleError, match="can't signal node a: it is deployed"):
                await a.signal("SIGHUP")
            await a.start()
            await told(a, "brooding")
            for wrong, text in (
                ("SIGNAL", "like 'SIGHUP'"),
                (0, "is no signal"),
                ("KILL", r"what node\.kill\(\) is for"),
            ):
                with pytest.raises(ArgumentError, match=text):
                    await a.signal(wrong)
            for mark in (network.mark(), network.mark()):
                await a.signal("SIGHUP")
                assert (await told(a, "heard", mark)).data.value == "SIGHUP"
            mark = network.mark()
            await a.signal("HUP", to=Reach.GROUP)
            await told(a, "heard", mark)
            heard = await told(a, "child heard")
            assert heard.position >= mark.position

    async def test_a_signal_to_a_frozen_node_waits_for_it_and_not_its_sender(
        self, deploy: Deploy, script: Script
    ) -> None:
        """It gets the signal once it goes on."""
        async with deploy(script("a", "hear:SIGHUP", "tick")) as network:
            a = network["a"]
            if Capability.SIGNAL not in network.engine.capabilities:
                return  # which is refused by name above
            if not await can(network, Capability.PAUSE, a.pause):
                return
            await said(a)
            await a.pause()
            mark = network.mark()
            with anyio.fail_after(WITHIN / 4):
                await a.signal("SIGHUP")
            await a.resume()
            assert (await told(a, "heard", mark)).data.value == "SIGHUP"

    async def test_a_signal_that_ends_a_node_is_the_nodes_own_end(self, deploy: Deploy, script: Script) -> None:
        """Expected where the test says so, and told as what it was."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            if not await can(network, Capability.SIGNAL, lambda: a.signal("SIGUSR1")):
                return
            await told(a, "started")
            with a.expecting_exit():
                await a.signal("SIGUSR1")
                ended = await network.events(NodeExited, since=0).first(within=WITHIN)
            assert (ended.data.signal, ended.data.expected) == ("SIGUSR1", True)

    async def test_the_process_id_is_that_of_the_daemon_while_it_runs(self, deploy: Deploy, script: Script) -> None:
        """Commands in the node's place see it."""
        async with deploy(script("a", "tick"), start=False) as network:
            a = network["a"]
            if Capability.PID not in network.engine.capabilities:
                with pytest.raises(UnsupportedError, match="pid"):
                    assert a.pid
                return
            pids = [a.pid]
            await a.start()
            await told(a, "started")
            pids.append(a.pid)
            if Capability.EXEC in network.engine.capabilities:
                seen = await a.exec(["cat", f"/proc/{pids[1]}/cmdline"])
                assert b"scripted.py" in seen.stdout
            await a.stop()
            pids.append(a.pid)
            await a.start()
            pids.append(a.pid)
            assert [pid is None for pid in pids] == [True, False, True, False]
            assert pids[1] != pids[3]

    async def test_a_node_is_asked_to_end_by_its_own_signal(
        self, engine: Engine, deploy: Deploy, script: Script
    ) -> None:
        """It says goodbye, as it does at no other."""
        node = script("a", "polite:SIGINT", "tick", stop_signal="SIGINT")
        if not await takes(engine, deploy, node, Capability.STOP_SIGNAL):
            return
        async with deploy(node) as network:
            a = network["a"]
            await told(a, "started")
            await said(a)
            await a.stop(grace=WITHIN)
            assert a.last_exit is not None
            assert (a.last_exit.code, a.last_exit.signal) == (7, None)

    async def test_a_daemon_that_is_asked_to_end_alone_ends_its_own(
        self, engine: Engine, deploy: Deploy, script: Script
    ) -> None:
        """What it has started hears of the end from it."""
        node = script("a", "nurse", "tick", stop_signal_to="daemon")
        if not await takes(engine, deploy, node, Capability.STOP_SIGNAL):
            return
        async with deploy(node) as network:
            a = network["a"]
            await told(a, "brooding")
            await said(a)
            await a.stop(grace=WITHIN)
            words = [event.data.what for event in await network.so_far(Told, nodes=("a",))]
            assert words[-2:] == ["child done", "goodbye"]
            assert "child cut" not in words
            assert a.last_exit is not None
            assert a.last_exit.code == 7

    async def test_files_that_are_no_text_go_in_and_come_back_as_they_are(self, deploy: Deploy, script: Script) -> None:
        """And no name leads out of the node's directory."""
        content = bytes(range(256)) + b"{state}"
        async with deploy(script("a", "tick", files={"deep/er/key": content}), start=False) as network:
            a = network["a"]
            if not await can(network, Capability.FILES, lambda: a.read_file("deep/er/key")):
                return
            assert await a.read_file("deep/er/key") == content
            for path in ("deep/er/key", "new/file"):
                await a.write_file(path, content[::-1])
                assert await a.read_file(path) == content[::-1]
            for path in ("../a", "deep/../../a", ".."):
                with pytest.raises(ArgumentError, match="leaves the node's directory"):
                    await a.read_file(path)
                with pytest.raises(ArgumentError, match="leaves the node's directory"):
                    await a.write_file(path, b"")
                with pytest.raises(TopologyError, match="node 'b'.*is no path below the node's directory"):
                    script("b", "tick", files={path: b""})

    async def test_a_start_may_have_other_arguments_for_itself_alone(self, deploy: Deploy, script: Script) -> None:
        """With placeholders, in the place of those of the spec."""
        spec = script("a", "print:own", "tick", ports=("p",))
        async with deploy(spec) as network:
            a = network["a"]
            await told(a, "started")
            await a.stop()
            before = spec.command[1:-2]
            other = (*before, "hear:SIGHUP", "show:NOTHING", "listen:{bind}:{port:p}", "tick")
            mark = network.mark()
            if not await can(network, Capability.ARGUMENTS, lambda: a.start(arguments=other)):
                return
            with pytest.raises(DeployError, match=r"'a': can't be started: arguments='tick' is one text"):
                await a.start(arguments="tick")
            await a.start(arguments=other)
            await told(a, "NOTHING", mark)
            await told(a, "listening", mark)
            mark = network.mark()
            await a.restart(arguments=(*before, "print:'\\ $x\n", "show:ELSE", "tick"))
            await told(a, "ELSE", mark)
            mark = network.mark()
            await a.restart()
            assert (await told(a, "started", mark)).data.start == 4
            shown = [event.data.what for event in await network.so_far(Told, nodes=("a",), since=mark)]
            assert shown == ["started"]
