"""A test that blocks, spins or reads slowly costs no node a thing, and Lucy no memory.

Each case is a program of its own, since it is about a whole process: its memory, and a loop that doesn't turn. Writers
pace themselves at 10 MB/s each, five of them, and measure how long any write took: their own word for it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = """
import json, os, sys, time
path, seconds, rate, report = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
fd = os.open(path, os.O_WRONLY)
text = b"x" * 430
n, longest, blocked = 0, 0.0, 0.0
begin = time.monotonic()
per_tick = rate // 100 // 500
tick = 0
while tick < seconds * 100:
    event = b"," + b'"event_id":"lucy.test.numbered"'
    block = b"".join(
        b'{"message":"m","metadata":{"n":%d,"x":"%b"}%b}\\n' % (i, text, event if i % 20 == 0 else b"")
        for i in range(n, n + per_tick)
    )
    n += per_tick
    view = memoryview(block)
    started = time.monotonic()
    while view:
        view = view[os.write(fd, view):]
    took = time.monotonic() - started
    longest = max(longest, took)
    blocked += took
    tick += 1
    rest = begin + tick / 100 - time.monotonic()
    if rest > 0:
        time.sleep(rest)
json.dump({"lines": n, "longest": longest, "blocked": blocked}, open(report, "w"))
"""

PROGRAM = """
import json, re, subprocess, sys, time
import anyio, msgspec
import lucy_core as lucy
from lucy_core.delivery import streams
from lucy_core.delivery.pipeline import Pipeline

@lucy.event(ids="lucy.test.numbered")
class Numbered(msgspec.Struct, frozen=True):
    n: int

mode, place, writer, seconds, rate = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
names = [f"n{i}" for i in range(5)]

async def main():
    got = {name: [] for name in names}
    async with Pipeline.record(place + "/run") as pipeline:
        fifos = [await pipeline.open_fifo(name) for name in names]
        writers = [
            subprocess.Popen([sys.executable, "-I", "-S", writer, str(fifo), seconds, rate, f"{place}/{name}.json"])
            for name, fifo in zip(names, fifos)
        ]
        await anyio.sleep(0.2)
        stream = pipeline.events(Numbered, since=0)

        async def have_all():
            # It began in the past: it may stand behind what is delivered live.
            wanted = sum(json.load(open(f"{place}/{name}.json"))["lines"] // 20 for name in names)
            with anyio.fail_after(60):
                while sum(map(len, got.values())) < wanted:
                    await anyio.sleep(0.02)

        async def slowly():
            async with stream.aiter(limit=100) as items:
                count = 0
                async for item in items:
                    got[item.node].append(item.data.n)
                    count += 1
                    if count % 100 == 0:
                        await anyio.sleep(0.001)
        if mode == "slow":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(slowly)
                await anyio.to_thread.run_sync(lambda: [w.wait() for w in writers])
                position = [await pipeline.drain(name) for name in names][-1]
                await pipeline.reach(position)
                await have_all()
                tasks.cancel_scope.cancel()
        else:
            stream.subscribe(lambda item: got[item.node].append(item.data.n))
            until = time.monotonic() + float(seconds) - 1
            if mode == "asleep":
                time.sleep(until - time.monotonic())
            else:
                while time.monotonic() < until:
                    pass
            await anyio.to_thread.run_sync(lambda: [w.wait() for w in writers])
            position = [await pipeline.drain(name) for name in names][-1]
            await pipeline.reach(position)
            await have_all()
        reports = {name: json.load(open(f"{place}/{name}.json")) for name in names}
        ledger = {name: pipeline.ledger.of(name) for name in names}
        print(json.dumps({
            "lines": {name: [reports[name]["lines"], ledger[name].lines] for name in names},
            "ordered": all(got[name] == list(range(0, reports[name]["lines"], 20)) for name in names),
            "longest": max(report["longest"] for report in reports.values()),
            "blocked": max(report["blocked"] for report in reports.values()),
            "lag": max(each.lag_max_ns for each in ledger.values()) / 1e9,
            "claimed": max(each.blocked_ns for each in ledger.values()) / 1e9,
            # Its own peak: what getrusage says is inherited from the process that forked it.
            "rss": int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024,
        }))
anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ("asleep", "spinning", "slow"))
def test_a_test_that_does_not_read_slows_no_node_and_loses_no_line(mode: str, tmp_path: Path) -> None:
    program, writer = tmp_path / "program.py", tmp_path / "writer.py"
    program.write_text(PROGRAM)
    writer.write_text(WRITER)
    done = subprocess.run(
        [sys.executable, str(program), mode, str(tmp_path), str(writer), "11", "10000000"],
        capture_output=True,
        timeout=110,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for written, captured in found["lines"].values():
        assert written == captured > 200_000
    assert found["ordered"]
    assert found["rss"] < 300
    # Whoever had to wait for the test would stand nearly ten seconds in its writes; a busy machine costs one or two.
    assert found["longest"] < 5.0
    assert found["blocked"] < 8.0
    if mode != "slow":
        assert found["lag"] > 5
