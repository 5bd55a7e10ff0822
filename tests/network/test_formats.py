"""Log formats of a network's nodes: chosen by the spec, kept for the replay, and as strict as they are said to be."""

import re
from pathlib import Path

import msgspec
import pytest

import lucy_core as lucy

pytestmark = pytest.mark.anyio


@lucy.event(pattern=r"(?P<member>\w+) became leader at term (?P<term>\d+)")
class BecameLeader(msgspec.Struct, frozen=True):
    member: str
    term: int


@lucy.event(message="peer $peer banned")
class Banned(msgspec.Struct, frozen=True):
    peer: str


@lucy.event(fields={"event": "joined", "peer.kind": "seed"})
class SeedJoined(msgspec.Struct, frozen=True):
    peer: dict[str, str]


def spec(log_format: object, *lines: str) -> lucy.NetworkSpec:
    text = "".join(f"{line}\n" for line in lines)
    command = ("sh", "-c", "cat {file:lines}; exec sleep 1000")
    node = lucy.NodeSpec(
        name="a", role="x", command=command, files={"lines": text.encode()}, log_format=log_format, ready="the end"
    )
    return lucy.NetworkSpec(name="t", nodes=(node,))


async def test_the_same_event_is_known_in_text_and_in_json_of_any_keys_live_and_on_replay(tmp_path: Path) -> None:
    lines = (
        "a7 became leader at term 3",
        '{"msg":"b8 became leader at term 4","level":"info"}',
        '{"message":"peer $peer banned","metadata":{"peer":"c9"},"level":"Info"}',
        "peer d10 banned",
        '{"msg":"x","event":"joined","peer":{"kind":"seed","id":"e"},"level":"info"}',
        '{"msg":"x","event":"joined","peer":{"kind":"other"},"level":"info"}',
        "the end",
    )
    want = [
        BecameLeader("a7", 3),
        BecameLeader("b8", 4),
        Banned("c9"),
        Banned("d10"),
        SeedJoined({"kind": "seed", "id": "e"}),
    ]
    run = tmp_path / "run"
    async with lucy.deploy(spec(None, *lines), run_directory=run) as network:
        found = await network.so_far(BecameLeader, Banned, SeedJoined)
        assert [event.data for event in found] == want
    async with lucy.replay(run) as again:
        assert [event.data for event in await again.so_far(BecameLeader, Banned, SeedJoined)] == want


async def test_a_chosen_format_is_kept_for_the_replay(tmp_path: Path) -> None:
    run = tmp_path / "run"
    chosen = lucy.json_lines(message="what", level="how")
    async with lucy.deploy(spec(chosen, '{"what":"boom","how":"error"}', "the end"), run_directory=run) as network:
        error = (await network.so_far(nodes="a"))[0].data
        assert (error.text, error.severity) == ("boom", lucy.Severity.ERROR)
    async with lucy.replay(run) as again:
        first = (await again.so_far(nodes="a"))[0].data
        assert (first.text, first.severity) == ("boom", lucy.Severity.ERROR)
        assert again.ledger.of("a").format_name == "json"


BAD = ('{"msg":"good","level":"info"}', '{"msg":"cut', '{"msg":"again', "the end")


async def test_malformed_lines_are_counted_and_the_first_are_in_every_report(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with lucy.deploy(spec("json", *BAD), run_directory=run):
        pass
    result = msgspec.json.decode((run / "result.json").read_bytes())
    (row,) = [row for row in result["ledger"] if row["node"] == "a"]
    assert result["outcome"] == "passed"
    assert row["malformed"] == 2
    first, second = row["malformed_lines"]
    assert re.fullmatch(r"at position \d+: Input data was truncated: b'{\"msg\":\"cut'", first)
    assert second.endswith('b\'{"msg":"again\'')
    for report in ("report.html", "junit.xml"):
        assert "again" in (run / report).read_text()


async def test_one_that_is_soft_is_held_against_the_run_which_goes_on(tmp_path: Path) -> None:
    chosen = lucy.log_format("json", malformed="soft")
    with pytest.raises(
        lucy.RunFailedError, match=r"a wrote a line, at position \d+, that its format 'json' can't read"
    ):
        async with lucy.deploy(spec(chosen, *BAD), run_directory=tmp_path / "run") as network:
            await network["a"].malformed(since=0).take(2).buffer(count=2).first(within=20)
    result = msgspec.json.decode((tmp_path / "run" / "result.json").read_bytes())
    assert [error["kind"] for error in result["errors"]] == ["malformed line"]


async def test_one_that_fails_ends_the_run(tmp_path: Path) -> None:
    chosen = lucy.log_format("json", malformed="fail")
    with pytest.raises(lucy.MalformedLineError) as caught:
        async with lucy.deploy(spec(chosen, *BAD), run_directory=tmp_path / "run") as network:
            await network.wait_for(lucy.seen(Banned))
    assert (caught.value.node, caught.value.raw) == ("a", b'{"msg":"cut')


async def test_one_that_is_soft_is_no_end_of_those_that_fail(tmp_path: Path) -> None:
    program = (
        """echo '{"msg":"soft' >&2; while [ ! -e go ]; do sleep 0.05; done; echo '{"msg":"hard'; exec sleep 1000"""
    )
    node = lucy.NodeSpec(
        name="a",
        role="x",
        command=("sh", "-c", program),
        streams="apart",
        log_format={
            "stderr": lucy.log_format("json", malformed="soft"),
            "stdout": lucy.log_format("json", malformed="fail"),
        },
    )
    with pytest.raises(lucy.MalformedLineError, match="a wrote a line") as caught:
        async with lucy.deploy(lucy.NetworkSpec(name="t", nodes=(node,)), run_directory=tmp_path / "run") as network:
            await network["a"].malformed(since=0).first(within=20)
            directory = network["a"].directory
            assert directory is not None
            (directory / "go").touch()
            await network.wait_for(lucy.seen(Banned))
    assert caught.value.raw == b'{"msg":"hard'


async def test_a_line_that_its_writer_left_unfinished_is_nobodys_fault(tmp_path: Path) -> None:
    chosen = lucy.log_format("json", malformed="fail")
    program = """printf '{"cut'; echo written >&2; exec sleep 1000"""
    node = msgspec.structs.replace(
        spec(chosen).nodes[0], command=("sh", "-c", program), streams="apart", ready="written"
    )
    async with lucy.deploy(lucy.NetworkSpec(name="t", nodes=(node,)), run_directory=tmp_path / "run") as network:
        await network["a"].kill()
        assert network.ledger.of("a").torn == 1


@pytest.mark.parametrize("strictness", ("lenient", 1, None))
def test_what_is_no_strictness_is_refused(strictness: object) -> None:
    with pytest.raises(lucy.ArgumentError, match="is none of count, soft, fail"):
        lucy.log_format("json", malformed=strictness)


async def test_each_source_of_a_node_may_have_its_own_format(tmp_path: Path) -> None:
    program = """echo '{"what":"of stdout","how":"error"}'; echo 'W1201 10:00:00.000000 7 a.go:1] of stderr' >&2
        mkdir -p log; echo '{"what":"of a file","how":"info"}' > log/a.log; echo 'the end'; exec sleep 1000"""
    named = lucy.json_lines(message="what", level="how")
    node = lucy.NodeSpec(
        name="a",
        role="x",
        command=("sh", "-c", program),
        streams="apart",
        logs=("log/*.log",),
        log_format={"": named, "stderr": "klog", "log/*.log": lucy.log_format("json")},
        ready="the end",
    )
    run = tmp_path / "run"
    seen: dict[str, lucy.Record] = {}
    async with (
        lucy.deploy(lucy.NetworkSpec(name="t", nodes=(node,)), run_directory=run) as network,
        network["a"].records(since=0).aiter() as records,
    ):
        async for event in records:
            seen.setdefault(event.source, event.data)
            if len(seen) == 3:
                break
    assert (seen["stderr"].text, seen["stderr"].severity) == ("of stderr", lucy.Severity.WARN)
    assert seen["log/a.log"].text == '{"what":"of a file","how":"info"}'  # whose keys are nobody's but the caller's
    rows = msgspec.json.decode((run / "result.json").read_bytes())["ledger"]
    assert {row["node"]: [*row["formats"]] for row in rows if row["node"] != "lucy"} == {
        "a/stdout": ["json"],
        "a/stderr": ["klog"],
        "a/log/a.log": ["json"],
    }
    async with lucy.replay(run) as again:
        found = {event.source: event.data for event in await again.so_far(nodes="a") if event.data.text != "the end"}
        assert (found["stdout"].text, found["stdout"].severity) == ("of stdout", lucy.Severity.ERROR)
        assert found["stderr"].kind == "klog"


async def test_an_event_by_its_text_may_be_among_lines_that_a_capture_filter_left_out(tmp_path: Path) -> None:
    with pytest.raises(lucy.InconclusiveError, match="the capture filter left out 5 lines, and what was awaited may"):
        async with lucy.deploy(spec(None, "the end"), run_directory=tmp_path / "run") as network:
            # Nobody counts them as events: no id stands in them.
            network.pipeline.note_filtered("a", lines=5, bytes=500, events=0)
            await network.pipeline.reach(await network.pipeline.fence())
            await network.wait_for(lucy.never(BecameLeader), lasting=0.2)
