"""Control: what a running node can be asked, told and given. What an engine can't do, it refuses by name."""

import asyncio

import anyio
import pytest

from lucy_core.engine import Capability, Output, Resources, Written
from lucy_core.errors import (
    CallbackError,
    CommandError,
    CommandTimeoutError,
    DeployError,
    LifeCycleError,
    OutputLimitError,
    WaitTimeoutError,
)
from lucy_core.judging.conditions.probes import port_open
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, can, caught_up, said, told
from lucy_core.testing.scripted_node import Dialled, Numbered


class ControlConformance(Suite):
    """Pause, commands, environment, files, ports, resources."""

    async def test_a_paused_node_is_silent_until_it_is_resumed(self, deploy: Deploy, script: Script) -> None:
        """And the other node isn't."""
        async with deploy(script("a", "tick"), script("b", "tick")) as network:
            a, b = network["a"], network["b"]
            await said(a)
            if not await can(network, Capability.PAUSE, a.pause):
                return
            await a.pause()
            with pytest.raises(LifeCycleError, match="can't pause node a: it is paused"):
                await a.pause()
            # What it wrote before it froze may still be on its way through the engine.
            await network.pipeline.drain("a")
            before = (await said(b, since=network.mark())).data.n
            await said(b, before + 5, since=network.mark())
            await caught_up(network)
            mark = network.mark()
            heard: list[object] = []
            a.events(Numbered, since=mark).subscribe(heard.append)
            await said(b, before + 30, since=mark)
            assert heard == []
            await a.resume()
            resumed = await said(a, since=mark)
            assert resumed.data.start == 1

    async def test_a_command_runs_in_a_nodes_place(self, deploy: Deploy, script: Script) -> None:
        """With its files, its environment, input, both outputs and the exit code; whether the node runs or not."""
        files = {"sub/text": b"port {port:p}\n", "sub/bytes": bytes(range(256))}
        node = script("a", "tick", ports=("p",), files=files, environment={"FROM_SPEC": "p is {port:p}"})
        async with deploy(node) as network:
            a = network["a"]
            await said(a)
            if not await can(network, Capability.EXEC, lambda: a.exec(["true"])):
                return
            shell = 'cat sub/text -; echo "$FROM_SPEC"; stat -c %a sub/text; echo oops >&2; exit 3'
            done = await a.exec(["sh", "-c", shell], input=b"from the input\n")
            number = done.stdout.decode().split()[1]
            assert done.stdout.decode() == f"port {number}\nfrom the input\np is {number}\n600\n"
            assert (done.code, done.stderr) == (3, b"oops\n")
            assert (await a.exec(["cat", "sub/bytes"])).stdout == bytes(range(256))
            large = bytes(range(256)) * 4096
            assert (await a.exec(["cat"], input=large)).stdout == large
            await a.stop()
            assert (await a.exec(["cat", "sub/text"])).stdout.decode() == f"port {number}\n"

    async def test_a_command_that_fails_to_run_or_to_end_is_an_error_that_names_it(
        self, deploy: Deploy, script: Script
    ) -> None:
        """An exit code is a result, this isn't."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            if not await can(network, Capability.EXEC, lambda: a.exec(["true"])):
                return
            with pytest.raises(CommandError, match=r"a.*sh did not end in 0\.5 s and was killed"):
                await a.exec(["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.5)
            with pytest.raises(CommandError, match="a.*there is no program 'nowhere'"):
                await a.exec(["nowhere"])
            with pytest.raises(CommandError, match="a.*empty command"):
                await a.exec([])
            with pytest.raises(CommandError, match="a.*has a NUL in it"):
                await a.exec(["echo", "1\0002"])
            # Neither has hurt the node.
            await said(a, since=network.mark())

    async def test_a_command_that_writes_much_is_taken_whole_or_as_it_comes_or_refused(
        self, deploy: Deploy, script: Script
    ) -> None:
        """Beyond what is kept it is killed and says so; handed on, any amount passes, each byte once and in order."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            if not await can(network, Capability.EXEC, lambda: a.exec(["true"])):
                return
            much = 30_000_000
            done = await a.exec(["sh", "-c", f"head -c {much} /dev/zero; head -c 100000 /dev/zero >&2"])
            assert (len(done.stdout), len(done.stderr)) == (much, 100_000)
            with pytest.raises(OutputLimitError, match=r"a.*sh wrote more than 1,000,000 bytes.*output="):
                await a.exec(["sh", "-c", "cat /dev/zero & cat /dev/zero"], limit=1_000_000)
            sizes = dict.fromkeys(Output, 0)
            largest = 0

            def take(written: Written) -> None:
                nonlocal largest
                sizes[written.output] += len(written.data)
                largest = max(largest, len(written.data))

            done = await a.exec(["sh", "-c", f"head -c {5 * much} /dev/zero; echo oops >&2; exit 3"], output=take)
            assert (done.code, done.stdout, done.stderr) == (3, b"", b"")
            assert sizes == {Output.STDOUT: 5 * much, Output.STDERR: 5}
            assert largest <= 1 << 20
            numbers = bytearray()
            await a.exec(["seq", "200000"], output=lambda written: numbers.extend(written.data))
            assert numbers == b"".join(b"%d\n" % number for number in range(1, 200_001))

    async def test_whatever_is_raised_by_who_takes_a_commands_words_comes_out_of_it(
        self, deploy: Deploy, script: Script
    ) -> None:
        """Also what would stop the loop (`SystemExit`), or be swallowed as somebody's own cancellation."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            if not await can(network, Capability.EXEC, lambda: a.exec(["true"])):
                return
            raised: BaseException
            for raised in (SystemExit(3), KeyboardInterrupt("now"), pytest.fail.Exception("no")):

                def end(_: Written, raised: BaseException = raised) -> None:
                    raise raised

                with anyio.fail_after(WITHIN), pytest.raises(type(raised)) as caught:
                    await a.exec(["sh", "-c", "echo word; sleep 1000"], output=end)
                assert caught.value is raised
            for raised in (asyncio.CancelledError("nobody's"), GeneratorExit("nobody's")):

                def steer(_: Written, raised: BaseException = raised) -> None:
                    raise raised

                with anyio.fail_after(WITHIN), pytest.raises(CallbackError, match="nobody's") as wrapped:
                    await a.exec(["sh", "-c", "echo word; sleep 1000"], output=steer)
                assert wrapped.value.raised is raised

    async def test_a_command_ends_in_time_whatever_it_writes(self, deploy: Deploy, script: Script) -> None:
        """And where the one who takes it fails, or is cancelled."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            if not await can(network, Capability.EXEC, lambda: a.exec(["true"])):
                return
            endless = ["sh", "-c", "echo $$ >>endless; cat /dev/zero & cat /dev/zero"]
            with pytest.raises(CommandTimeoutError, match=r"a.*sh did not end in 1 s and was killed"):
                await a.exec(endless, timeout=1.0, output=lambda _: None)
            mute = ["sh", "-c", "echo $$ >>endless; exec <&- >&- 2>&-; sleep 600; true"]
            with anyio.fail_after(WITHIN), pytest.raises(CommandTimeoutError, match=r"a.*sh did not end in 1 s"):
                await a.exec(mute, timeout=1.0)
            bare = ["env", "-i", "/bin/sh", "-c", "echo $$ >>endless; (echo $$; sleep 600; true) & sleep 600; true"]
            with anyio.fail_after(WITHIN), pytest.raises(CommandTimeoutError, match=r"a.*env did not end in 1 s"):
                await a.exec(bare, timeout=1.0)

            def fail(written: Written) -> None:
                raise ArithmeticError(f"{len(written.data) > 0}")

            with anyio.fail_after(WITHIN):
                with pytest.raises(ArithmeticError, match="True"):
                    await a.exec(endless, timeout=WITHIN * 2, output=fail)
                with anyio.move_on_after(0.5):
                    await a.exec(endless, timeout=WITHIN * 2, output=lambda _: None)
                alive = "for pid in $(cat endless); do kill -0 $pid 2>/dev/null && echo alive; done; wc -l <endless"
                left = ["alive"]
                while "alive" in left:
                    left = (await a.exec(["sh", "-c", alive])).stdout.decode().split()
            assert left == ["5"]
            await said(a, since=network.mark())

    async def test_a_node_has_the_environment_of_its_spec_and_of_its_start(
        self, deploy: Deploy, script: Script
    ) -> None:
        """That of a start is for that start alone."""
        node = script("a", "show:FROM_SPEC", "show:FROM_START", "tick", environment={"FROM_SPEC": "a = 'b' {x} $y\tz"})
        async with deploy(node) as network:
            a = network["a"]
            assert (await told(a, "FROM_SPEC")).data.value == "a = 'b' {x} $y\tz"
            assert (await told(a, "FROM_START")).data.value == "(not set)"
            await a.stop()
            mark = network.mark()
            more = {"FROM_START": "1 \\ 2\n3"}
            if await can(network, Capability.ENVIRONMENT, lambda: a.start(environment=more)):
                for wrong, text in (({"X": "1\0002"}, "'X'.*has a NUL in it"), ({"": "1"}, "'' can't name")):
                    with pytest.raises(DeployError, match=f"'a': can't be started: .*{text}"):
                        await a.start(environment=wrong)
                await a.start(environment=more)
                assert (await told(a, "FROM_START", mark)).data.value == more["FROM_START"]
                assert (await told(a, "FROM_SPEC", mark)).data.value == "a = 'b' {x} $y\tz"
                await a.stop()
                mark = network.mark()
            await a.start()
            assert (await told(a, "FROM_START", mark)).data.value == "(not set)"

    async def test_nodes_reach_each_other_and_lucy_reaches_them(self, deploy: Deploy, script: Script) -> None:
        """At the addresses that the placeholders and `address` give, over restarts."""
        listener = script("a", "listen:{bind}:{port:p}", "tick", ports=("p", "other"))
        async with deploy(listener, script("b", "dial:{host:a}:{port:a.p}", after=("a",))) as network:
            a, b = network["a"], network["b"]
            await told(a, "listening")
            for again in (True, False):
                mark = network.mark()
                answered = b.events(Dialled, since=mark).first(lambda event: not event.data.problem, within=WITHIN)
                assert (await answered).data.problem == ""
                host, port = a.address("p")
                with anyio.fail_after(WITHIN):
                    async with await anyio.connect_tcp(host, port) as connection:
                        await connection.send(b"hello from Lucy\n")
                        assert await connection.receive() == b"hello from Lucy\n"
                if again:
                    mark = network.mark()
                    await a.restart()
                    await told(a, "listening", mark)
            with pytest.raises(CommandError, match="'a' has no port 'q'; it has p, other"):
                a.address("q")

    async def test_a_port_is_open_while_the_node_listens_at_it(self, deploy: Deploy, script: Script) -> None:
        """It is none by what stands before the node, such as a proxy of the engine's."""
        listens, mute = script("a", "listen:{bind}:{port:p}", "tick", ports=("p",)), script("b", "tick", ports=("p",))
        async with deploy(listens, mute) as network:
            await network.wait_for(port_open("a", "p"), hard=WITHIN)
            await said(network["b"])
            with pytest.raises(WaitTimeoutError, match=r"b\.p: "):
                await network.wait_for(port_open("b", "p"), hard=1)

    async def test_a_nodes_use_of_the_machine_is_measured_while_it_runs(self, deploy: Deploy, script: Script) -> None:
        """Memory that it eats shows, and so does the processor's time."""
        async with deploy(script("a", "eat:64", "tick:0.001")) as network:
            a = network["a"]
            await told(a, "ate")
            if not await can(network, Capability.RESOURCES, a.resources):
                return
            first = await a.resources()
            assert isinstance(first, Resources)
            assert first.memory_bytes > 64 << 20
            assert first.cpu_seconds > 0
            now = first.cpu_seconds
            with anyio.fail_after(WITHIN):
                while now <= first.cpu_seconds:
                    await said(a, since=network.mark())
                    used = await a.resources()
                    assert used is not None
                    now = used.cpu_seconds
            await a.stop()
            assert await a.resources() is None
