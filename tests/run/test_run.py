"""A run from its first file to its last: the verdict as an exception, the files that it leaves, and its journal."""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.capturing import run_files
from lucy_core.engine import Engine, Plan, State
from lucy_core.judging.fold import replayed
from lucy_core.judging.result import RunResult
from lucy_core.network.vocabulary import PlainTopology
from lucy_core.recording import capture_process
from lucy_core.records.journal import CommandEnded, CommandStarted, WaitStarted
from lucy_core.reports.files import RESERVE_BYTES
from lucy_core.run.run import Run, RunOrder, When, fix
from lucy_engines.process import ProcessEngine

pytestmark = pytest.mark.anyio

RESTING = "import time; time.sleep(600)"


def spec(*names: str) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(
        name="runs",
        nodes=tuple(lucy.NodeSpec(name=name, role="x", command=(sys.executable, "-c", RESTING)) for name in names),
    )


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return result


async def collected(network: lucy.Network, *kinds: type) -> list[Any]:
    """Read back the data of all such events up to now."""
    found: list[lucy.Event] = []
    handle = network.pipeline.subscribe(
        lucy.Interest(event_types=[lucy.event_type(kind) for kind in kinds]), found.extend, lambda _: None, since=0
    )
    await handle.reach(await network.pipeline.fence())
    handle.cancel()
    return [each.data for each in found]


# --- the verdict ----------------------------------------------------------------------------------------------------


async def test_a_soft_error_fails_a_plain_deploy_at_its_end_and_its_files_say_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(lucy.RunFailedError, match="a little late") as caught:
        async with lucy.deploy(spec("a"), run_directory=run) as network:
            network.soft_error("a little late")
    assert (caught.value.outcome, len(caught.value.held), caught.value.directory) == ("failed", 1, run)
    result = result_of(run)
    assert (result["scenario"], result["outcome"], result["exit_code"]) == ("runs", "failed", 1)
    assert result["decided_by"]["message"] == "a little late"
    suite = ET.parse(run / "junit.xml").find("testsuite")
    assert suite.find("properties/property[@name='run_directory']").get("value") == str(run)
    assert suite.get("failures") == "1"
    assert "a little late" in (run / "report.html").read_text()


async def test_a_run_that_passed_raises_nothing_and_is_called_as_its_caller_says(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run", test="a test of mine"):
        pass
    result = result_of(tmp_path / "run")
    assert (result["scenario"], result["outcome"], result["errors"]) == ("a test of mine", "passed", [])
    assert json.loads((tmp_path / "run/run.json").read_bytes())["test"] == "a test of mine"
    assert [node["state"] for node in result["nodes"]] == ["running"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    (
        (AssertionError("mine"), "failed"),
        (lucy.InconclusiveError("mine"), "inconclusive"),
        (KeyboardInterrupt("mine"), "interrupted"),
        (SystemExit("mine"), "interrupted"),
        (pytest.fail.Exception("mine"), "failed"),
        (ExceptionGroup("of one", [ValueError("mine")]), "failed"),
    ),
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_what_the_block_raised_comes_out_as_itself(tmp_path: Path, error: BaseException, outcome: str) -> None:
    (one,) = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
    with pytest.raises(type(one)) as caught:
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            network.soft_error("held before")
            with network.section("a section"):
                raise error
    assert caught.value is one
    result = result_of(tmp_path / "run")
    assert result["outcome"] == outcome
    assert [each["message"] for each in result["errors"]] == ["held before", "mine"]
    assert [(each["name"], each["outcome"]) for each in result["sections"]] == [("a section", "failed")]
    assert result["decided_by"]["message"] == "mine"


async def test_an_error_that_a_soft_section_swallowed_is_the_cause_of_the_verdict(tmp_path: Path) -> None:
    error = lucy.InconclusiveError("a gap")
    with pytest.raises(lucy.RunFailedError) as caught:
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            with network.section("soft", soft=True):
                raise error
    assert (caught.value.outcome, caught.value.__cause__) == ("inconclusive", error)


async def test_a_run_that_was_cut_short_has_not_passed(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert result_of(tmp_path / "run")["outcome"] == "interrupted"


LINGERING = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: print('{"message":"asked"}', flush=True))
print('{"message":"ready"}', flush=True)
while True: signal.pause()
"""


@pytest.mark.parametrize("held", (True, False))
async def test_a_run_that_was_cancelled_while_it_was_taken_down_has_not_passed(tmp_path: Path, *, held: bool) -> None:
    lingering = lucy.NodeSpec(name="a", role="x", command=(sys.executable, "-c", LINGERING))

    async def run() -> None:
        async with lucy.deploy(
            lucy.NetworkSpec(name="runs", nodes=(lingering,)), run_directory=tmp_path / "run"
        ) as network:
            lines = network["a"].records(since=0)
            await lines.first(lambda event: event.data.text == "ready", within=20)
            lines.filter(lambda event: event.data.text == "asked").subscribe(lambda _: task.cancel())
            if held:
                network.soft_error("this was wrong")

    task = asyncio.ensure_future(run())
    with anyio.fail_after(30), pytest.raises(asyncio.CancelledError):
        await task
    outcome = "failed" if held else "interrupted"
    assert result_of(tmp_path / "run")["outcome"] == outcome
    async with lucy.replay(tmp_path / "run") as again:
        assert (await again.findings()).outcome == outcome


CTRL_C = """
import asyncio, os, signal, sys, time
import lucy_core as lucy

async def main():
    rest = lucy.NodeSpec(name="a", role="x", command=("sleep", "600"))
    async with lucy.deploy(lucy.NetworkSpec(name="runs", nodes=(rest,)), run_directory=sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)  # the loop hears of it once the block, which awaits nothing, is over

asyncio.run(main())
"""


async def test_a_run_whose_block_was_deaf_to_ctrl_c_has_not_passed(tmp_path: Path) -> None:
    done = await anyio.run_process([sys.executable, "-c", CTRL_C, str(tmp_path / "run")], check=False)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert result_of(tmp_path / "run")["outcome"] == "interrupted"


async def test_a_capture_that_died_costs_no_verdict(tmp_path: Path) -> None:
    with anyio.fail_after(20), pytest.raises(lucy.CaptureDiedError):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            os.kill(network.pipeline.capture_pid, signal.SIGKILL)
            try:
                await anyio.sleep_forever()
            finally:
                network.soft_error("held after its death")
    result = result_of(tmp_path / "run")
    assert result["outcome"] == "inconclusive"
    assert "held after its death" in [each["message"] for each in result["errors"]]


@pytest.mark.parametrize("asking", (True, False))
async def test_a_capture_that_stands_still_for_good_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, asking: bool
) -> None:
    monkeypatch.setattr(capture_process, "ANSWER_SECONDS", 0.5)
    with anyio.fail_after(20), pytest.raises(lucy.CaptureDiedError, match="did not answer '(write|drain)'"):
        async with lucy.deploy(spec("a", "b", "c"), run_directory=tmp_path / "run") as network:
            network.soft_error("held before it stood still")
            os.kill(network.pipeline.capture_pid, signal.SIGSTOP)
            if asking:
                await network["a"].stop()
    result = result_of(tmp_path / "run")
    assert result["outcome"] == "inconclusive"
    assert [each["kind"] for each in result["errors"]] == ["check", "CaptureDiedError"]
    async with lucy.replay(tmp_path / "run") as run:
        assert "did not answer" in run.ledger.gaps[0].reason


@pytest.mark.blocking
async def test_a_loop_that_was_blocked_takes_no_answer_for_a_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_process, "ANSWER_SECONDS", 0.5)
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.fence)
            await anyio.lowlevel.checkpoint()
            time.sleep(1)  # a test that blocks its loop
        assert pipeline.ledger.capture_died is None


async def test_nothing_is_held_against_a_run_whose_result_is_written(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
        pass
    with pytest.raises(lucy.RunOverError, match="too late"):
        network.soft_error("too late")


def in_a_section(network: lucy.Network) -> None:
    with network.section("elsewhere"):
        pass


ELSEWHERE: dict[str, Callable[[lucy.Network], object]] = {
    "soft_error": lambda network: network.soft_error("elsewhere"),
    "mark": lambda network: network.mark(),
    "journal": lambda network: network.journal(lucy.NodeStopped("a")),
    "section": in_a_section,
    "wait_for": lambda network: asyncio.run(network.wait_for(lucy.seen(lucy.NodeStarted), since=0, hard=1)),
    "stop": lambda network: asyncio.run(network["a"].stop()),
}


@pytest.mark.parametrize("call", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_call_from_another_thread_or_loop_is_refused_and_changes_nothing(
    tmp_path: Path, call: Callable[[lucy.Network], object]
) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
        before = network.judgement.findings()
        with anyio.fail_after(20), pytest.raises(lucy.StrayCallError, match="lives on the loop that deployed it"):
            await anyio.to_thread.run_sync(call, network)
        assert network.judgement.findings() == before
        assert network["a"].state is State.RUNNING


# --- the files ------------------------------------------------------------------------------------------------------


class Broken(Engine, Plan):
    """An engine that fails where it is told to."""

    name = "broken"

    def __init__(self, where: str, error: Exception | None = None) -> None:
        self._where = where
        self._error = error or lucy.DeployError("no machine")

    def plan(self, spec: lucy.NetworkSpec, place: object) -> Plan:
        self._fail("plan")
        self._inner = ProcessEngine().plan(spec, place)
        return self

    @asynccontextmanager
    async def open(self, capture: Any, on_exit: Any) -> AsyncIterator[Any]:
        self._fail("open")
        async with self._inner.open(capture, on_exit) as network:
            self._fail("make")
            yield network

    def _fail(self, where: str) -> None:
        if self._where == where:
            raise self._error


@pytest.mark.parametrize("where", ("plan", "open", "make"))
async def test_a_run_that_never_got_its_network_has_a_result_too(tmp_path: Path, where: str) -> None:
    with pytest.raises(lucy.DeployError, match="no machine"):
        async with lucy.deploy(spec("a"), engine=Broken(where), run_directory=tmp_path / "run"):
            raise AssertionError
    result = result_of(tmp_path / "run")
    assert (result["outcome"], result["exit_code"]) == ("infrastructure error", 4)
    assert [each["message"] for each in result["errors"]] == ["no machine"]


async def test_what_the_system_refuses_a_deployment_is_said_with_what_to_do_and_without_frames(tmp_path: Path) -> None:
    refused = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(lucy.DeployError, match=r"can't make the network: Too many open files; raise .*ulimit -n"):
        async with lucy.deploy(spec("a"), engine=Broken("make", refused), run_directory=tmp_path / "run"):
            raise AssertionError
    result = result_of(tmp_path / "run")
    assert (result["outcome"], result["exit_code"], result.get("traceback", "")) == ("infrastructure error", 4, "")
    assert [each["kind"] for each in result["errors"]] == ["SystemRefusedError"]


async def test_a_result_that_can_not_be_written_costs_no_verdict(tmp_path: Path) -> None:
    for name in ("result.json", "junit.xml", "run.json"):
        (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(lucy.RunFailedError, match="not nice"):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            network.soft_error("not nice")
    assert "not nice" in (tmp_path / "run/report.html").read_text()
    assert list((tmp_path / "run").glob(".*.draft")) == []


async def test_a_recording_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run"):
        pass
    before = (tmp_path / "run/result.json").read_bytes()
    with pytest.raises(lucy.RecordingError, match="there is a recording in it already"):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run"):
            raise AssertionError
    assert (tmp_path / "run/result.json").read_bytes() == before


async def test_a_run_that_is_kept_on_failure_alone_is_gone_when_it_passed(tmp_path: Path) -> None:
    run = Run(
        RunOrder(
            test="t",
            topology=fix(PlainTopology(spec("a")), {}),
            engine=ProcessEngine(),
            options={},
            run_id="r",
            directory=tmp_path / "run",
            keep=When.ON_FAILURE,
        )
    )
    async with run.opened():
        assert (tmp_path / "run/run.json").exists()
    assert not (tmp_path / "run").exists()
    assert not run.kept


# --- the journal ----------------------------------------------------------------------------------------------------


async def test_the_fold_of_the_recording_says_what_the_live_one_said(tmp_path: Path) -> None:
    async def in_a_section(network: lucy.Network, name: str, turn: anyio.Event) -> None:
        with network.section(name):
            await turn.wait()
            network.soft_error(f"of {name}")

    with pytest.raises(ValueError, match="the last"):
        async with lucy.deploy(spec("a", "b", "c"), run_directory=tmp_path / "run", test="t") as network:
            turn = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(in_a_section, network, "one", turn)
                tasks.start_soon(in_a_section, network, "other", turn)
                turn.set()
            with network.section("a soft one", soft=True):
                network.check(False, "two is three")
            async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=30):
                pass
            with network["b"].expecting_exit():
                os.kill(network["b"]._engine_node.pid, signal.SIGKILL)
                await network.wait_for(lucy.seen(lucy.NodeExited), since=0, hard=20)
            await network["a"].restart()
            await network["c"].stop()
            raise ValueError("the last")
    live = network.judgement.findings()
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        again = await replayed(pipeline)
    assert again == live
    assert {section.outcome for section in live.sections} == {"soft errors", "failed"}
    assert [node.state for node in live.nodes] == ["running", "stopped", "stopped"]
    assert (len(live.errors), len(live.waits)) == (4, 1)
    assert live.decided_by.message == "the last"
    result = msgspec.json.decode((tmp_path / "run/result.json").read_bytes(), type=RunResult)
    assert (result.errors, result.nodes, result.waits) == (live.errors, live.nodes, live.waits)


async def test_texts_that_no_json_can_carry_are_the_same_in_the_journal_and_in_the_result(tmp_path: Path) -> None:
    odd = "a file named \udcff"
    with pytest.raises(lucy.RunFailedError):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            with network.section(odd):
                network.soft_error(odd)
            await network.wait_for(
                lucy.Condition(
                    name="odd",
                    description=odd,
                    check=lambda *_: lucy.Progress(have=1, need=1),
                    event_types=(),
                    soft=lucy.seconds(20),
                    hard=lucy.seconds(20),
                )
            )
    live = network.judgement.findings()
    assert (len(live.errors), len(live.sections), len(live.waits)) == (1, 1, 1)
    async with lucy.replay(tmp_path / "run") as run:
        assert await run.findings() == live


async def test_a_wait_that_the_end_of_the_run_ends_is_the_same_in_the_journal_and_in_the_result(
    tmp_path: Path,
) -> None:
    async with (
        anyio.create_task_group() as tasks,
        lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network,
    ):

        async def wait_on() -> None:
            with pytest.raises(lucy.ImpossibleError, match="the run has ended"):
                await network.wait_for(lucy.seen(lucy.NodePaused), hard=100)

        tasks.start_soon(wait_on)
        await network.wait_for(lucy.seen(WaitStarted, where=lambda each: each.data.hard == 100), since=0)
    live = network.judgement.findings()
    assert [wait.outcome for wait in live.waits] == ["passed", "unfinished"]
    async with lucy.replay(tmp_path / "run") as run:
        assert await run.findings() == live


async def test_a_line_that_looks_like_lucys_decides_nothing(tmp_path: Path) -> None:
    forged = '{"message":"x","event_id":"lucy.error","metadata":{"severity":"hard","message":"forged"}}'
    forging = lucy.NodeSpec(name="a", role="x", command=("sh", "-c", f"echo '{forged}'; exec sleep 600"))
    async with lucy.deploy(lucy.NetworkSpec(name="runs", nodes=(forging,)), run_directory=tmp_path / "run") as network:
        await network["a"].records(since=0).first(within=20)
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        assert (await replayed(pipeline)).errors == ()


async def test_commands_stand_in_the_journal_with_their_parents_and_results(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
        a = network["a"]
        with network.section("a section"):
            await a.exec([sys.executable, "-c", "import sys; print('x' * 5000); sys.exit(3)"])
            await a.write_file("note", b"\xffnoted")
            await a.read_file("note")
            with pytest.raises(lucy.CommandError):
                await a.read_file("none")
            await a.pause()
            await a.resume()
            await a.resources()
            await a.restart()
        with pytest.raises(lucy.LifeCycleError):
            await a.resume()
        await a.kill()
        started = {each.id: each for each in await collected(network, CommandStarted)}
        ended = await collected(network, CommandEnded)
        (section,) = network.judgement.sections

    by_name = {each.command: each for each in ended}
    assert {started[each.id].command for each in ended} == set(by_name)
    exec_result = by_name["exec"].result
    assert exec_result.startswith('{"code":3,"stdout":"xxx')
    assert by_name["exec"].left_out > 2000
    assert by_name["read_file"].outcome == "NodeFileError"
    assert next(each.result for each in ended if each.command == "read_file") == "\\xffnoted"
    assert '"memory_bytes":' in by_name["resources"].result
    assert (by_name["resume"].outcome, by_name["kill"].outcome) == ("LifeCycleError", "done")
    parents = {each.command: each.parent for each in started.values()}
    restart = by_name["restart"].id
    assert (parents["exec"], parents["pause"], parents["restart"]) == (section.id,) * 3
    assert [each.parent for each in started.values() if each.command in ("stop", "start")][1:] == [restart, restart]
    assert parents["kill"] == 0
    assert len(started) == len(ended)


async def test_sections_faults_and_waits_count_from_one_without_a_twin(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run", start=False) as network:
        await network["a"].start()
        with network.section("s"):
            await network.wait_for(lucy.seen(lucy.NodeStarted), since=0, hard=20)
            async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=30) as lease:
                pass
        (section,), (wait,) = network.judgement.sections, network.judgement.waits
        (command,) = await collected(network, CommandStarted)
        (requested,) = await collected(network, lucy.FaultRequested)
    assert [command.id, section.id, wait.id, lease.number] == [1, 2, 3, 4]
    assert (wait.inside, requested.lease, requested.parent) == (2, 4, 2)


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


async def test_on_a_full_disk_a_run_still_has_its_result(small_disk: Path) -> None:
    with pytest.raises(lucy.RunFailedError, match="not nice"):
        async with lucy.deploy(spec("a"), run_directory=small_disk / "run") as network:
            fill(small_disk)
            network.soft_error("not nice")

    result = result_of(small_disk / "run")
    assert (result["outcome"], [each["message"] for each in result["errors"]]) == ("failed", ["not nice"])
    there = {path.name for path in (small_disk / "run").iterdir()}
    assert {"result.json", "junit.xml", "report.html", "run.json"} <= there
    assert not [name for name in there if name.startswith(".")]


async def test_a_run_keeps_room_for_its_result_beside_that_for_its_recording(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
        assert (tmp_path / "run" / run_files.RESULT_RESERVE).stat().st_blocks * 512 >= RESERVE_BYTES
        held = [os.readlink(fd) for fd in Path(f"/proc/{network.pipeline.capture_pid}/fd").iterdir()]
        assert f"{tmp_path / 'run' / run_files.RECORDING_RESERVE} (deleted)" in held


async def test_files_that_can_not_be_written_are_named_once_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("result.json", "junit.xml"):
        (tmp_path / "run" / name).mkdir(parents=True)

    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run"):
        pass

    place = tmp_path / "run"
    assert capsys.readouterr().err == (
        f"lucy: warning: {place}/result.json and {place}/junit.xml can't be written: Is a directory\n"
    )


async def test_a_run_directory_that_is_deleted_costs_its_files_and_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(lucy.RunFailedError, match="not nice"):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run") as network:
            shutil.rmtree(tmp_path / "run")
            network.soft_error("not nice")

    assert "report.html can't be written: No such file or directory" in capsys.readouterr().err


async def test_a_slip_in_a_report_costs_that_report_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slip(_result: object) -> bytes:
        raise KeyError("colour")

    monkeypatch.setattr("lucy_core.reports.junit.junit", slip)

    async with lucy.deploy(spec("a"), run_directory=tmp_path / "run"):
        pass

    assert "junit.xml can't be written: KeyError: 'colour'" in capsys.readouterr().err
    assert result_of(tmp_path / "run")["outcome"] == "passed"
    assert (tmp_path / "run/report.html").exists()


class UnsayableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", (ValueError("file \udcff"), KeyError("\ud800"), UnsayableError()), ids=type)
async def test_what_an_error_says_never_keeps_the_result_from_being_written(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        async with lucy.deploy(spec("a"), run_directory=tmp_path / "run", test="a name \udcff") as network:
            with network.section("a file \udcff", soft=True):
                network.check(False, "a file \udcff")
            raise error
    result = result_of(tmp_path / "run")
    assert [each["kind"] for each in result["errors"]] == ["CheckFailedError", type(error).__name__]
    assert result["scenario"] == "a name \\udcff"
