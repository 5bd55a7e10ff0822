"""Nodes of any format in containers: what the supervisor says of their ends stands in no line that they can't have."""

from pathlib import Path

import pytest

import lucy_core as lucy

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("docker_engine", "simnode_image")]

KLOG = "I1201 04:00:00.000000       1 main.go:10] up"
ZAP = '{"level":"info","ts":1.5,"msg":"up"}'


@pytest.mark.parametrize(
    ("line", "log_format", "own"),
    (
        (KLOG, "klog", 0),
        (KLOG, lucy.log_format("klog", malformed="fail"), 0),
        (ZAP, lucy.json_lines(message="msg", level="level", time="ts"), 2),
        (ZAP, "json", 2),
        (KLOG, None, 2),
    ),
)
async def test_a_restart_leaves_no_line_of_unknown_level(
    tmp_path: Path, line: str, log_format: object, own: int
) -> None:
    command = ("python3", "-c", f"import signal; print({line!r}, flush=True); signal.pause()")
    node = lucy.NodeSpec(name="a", role="x", command=command, log_format=log_format, ready="up")
    spec = lucy.NetworkSpec(name="formats", nodes=(node,))
    async with lucy.deploy(spec, engine="docker", run_directory=tmp_path / "run") as network:
        await network["a"].restart()
        assert not await network.so_far(level=lucy.Severity.ERROR)
        texts = [event.record.text for event in await network.so_far(nodes=("a",))]
        assert [text for text in texts if not text.startswith("daemon ")] == ["up", "up"]
        assert len(texts) == 2 + own
