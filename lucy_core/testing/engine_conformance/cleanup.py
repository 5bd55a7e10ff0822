"""Cleanup: nothing is left behind, however a run ends."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from lucy_core.engine import Engine
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, nothing_left, said, told
from lucy_core.testing.leaks import command_of

MARK = "LUCY_CONFORMANCE"
_CHILD = Path(__file__).with_name("child.py")


class CleanupConformance(Suite):
    """Normal ends, exceptions, cancellation, Ctrl-C and `kill -9`."""

    async def test_nothing_is_left_after_a_normal_end(
        self, deploy: Deploy, script: Script, engine: Engine, run_id: str, tmp_path: Path
    ) -> None:
        """Of nodes that run, were stopped, and were never started."""
        nodes = (script("a", "spawn", "tick"), script("b", "tick"), script("c", "tick"))
        async with deploy(*nodes, start=False) as network:
            await network["a"].start()
            await network["b"].start()
            await told(network["a"], "orphan")
            await said(network["b"])
            await network["b"].stop()
        await nothing_left(engine, run_id)
        assert_no_fifos(tmp_path / "run")

    async def test_nothing_is_left_after_an_exception(
        self, deploy: Deploy, script: Script, engine: Engine, run_id: str, tmp_path: Path
    ) -> None:
        """Which is the one that is raised."""
        with pytest.raises(ValueError, match="the test's own"):
            async with deploy(script("a", "spawn", "tick")) as network:
                await told(network["a"], "orphan")
                raise ValueError("the test's own")
        await nothing_left(engine, run_id)
        assert_no_fifos(tmp_path / "run")

    async def test_a_deployment_may_be_cancelled_at_any_await(
        self, checkpoint: int, deploy: Deploy, script: Script, engine: Engine, run_id: str
    ) -> None:
        """On the way in, in the block, or on the way out."""

        async def cancel(scope: anyio.CancelScope) -> None:
            for _ in range(checkpoint):
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        with anyio.fail_after(WITHIN):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel, tasks.cancel_scope)
                async with deploy(script("a", "tick"), script("b", "tick")):
                    await anyio.sleep_forever()
        await nothing_left(engine, run_id)

    @pytest.mark.parametrize(
        ("end", "forks"),
        (
            pytest.param(signal.SIGINT, False, id="ctrl-c"),
            pytest.param(signal.SIGKILL, False, id="kill-9"),
            pytest.param(signal.SIGKILL, True, id="kill-9-of-one-that-has-forked"),
        ),
    )
    async def test_nothing_is_left_after_a_signal_to_lucy(
        self, end: signal.Signals, *, forks: bool, engine: Engine, run_id: str, tmp_path: Path
    ) -> None:
        """A Lucy in a process of its own is ended in the middle of a run; what she forked may live on."""
        mark = secrets.token_hex(8)
        order = {
            "engine": f"{type(engine).__module__}:{type(engine).__qualname__}",
            "run_id": run_id,
            "directory": str(tmp_path / "run"),
            "options": dict(self.options),
            "python": self.python,
            "forks": forks,
        }
        environment = {**os.environ, MARK: mark, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        said_by_child = tmp_path / "stderr"
        with said_by_child.open("wb") as errors:
            lucy = subprocess.Popen(  # noqa: S603, ASYNC220  # our own program; it takes a millisecond
                [sys.executable, str(_CHILD), json.dumps(order)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert lucy.stdout is not None
        children: list[int] = []
        try:
            up, *words = (await anyio.to_thread.run_sync(lucy.stdout.readline)).split() or [b""]
            assert up == b"up", said_by_child.read_text()
            children += map(int, words)
            lucy.send_signal(end)
            code = await anyio.to_thread.run_sync(lambda: lucy.wait(WITHIN))
            assert code == (130 if end is signal.SIGINT else -end), said_by_child.read_text()
            await nothing_left(engine, run_id)
            deadline = time.monotonic() + WITHIN
            while left := processes_with(mark) - set(children):
                assert time.monotonic() < deadline, (
                    f"left behind: {[f'process {pid}: {command_of(pid)}' for pid in left]}"
                )
                await anyio.sleep(0.05)
            assert processes_with(mark) == set(children)
            assert_no_fifos(tmp_path / "run")
        finally:
            lucy.kill()
            lucy.wait()
            lucy.stdout.close()
            for child in children:
                os.kill(child, signal.SIGKILL)


def processes_with(mark: str) -> set[int]:
    """Find the processes on this machine that were started by the Lucy of a test, directly or not."""
    variable = f"{MARK}={mark}".encode()
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if variable in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def assert_no_fifos(directory: Path) -> None:
    """A FIFO without a reader would block whoever writes."""
    assert [str(path) for path in directory.rglob("*") if path.is_fifo()] == []
