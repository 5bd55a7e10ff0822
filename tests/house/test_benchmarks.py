"""The benchmarks count right, say what they found, and refuse what is no measurement."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import REPOSITORY

from benchmarks import output, plots
from benchmarks.__main__ import RUNS, main
from benchmarks.flood import Flood, run_flood
from benchmarks.flood_report import flood_report
from benchmarks.formats import LAYOUTS, difference
from benchmarks.hard_lines import HardLine, hard_lines, judge
from benchmarks.latency import LatencyJob, lucy_listener, ping
from benchmarks.layout import EVENT_ID
from benchmarks.machine import Machine
from benchmarks.measurement import BenchmarkError, Quantiles, alternate, apart, median_of, nothing_said, scratch
from benchmarks.replay import SO_FAR, ReplayJob, ask, record
from benchmarks.report import Curve, Report, Table, Target
from benchmarks.session import in_order
from benchmarks.smoke import CHECKS, SMALL
from benchmarks.steps import Cost, add_step
from benchmarks.tools import find_by
from lucy_core.records.severity import Severity

MACHINE = Machine(2, "a processor", 24.0, "an OS", "6.1", "3.11.7", None, {}, 0.5, 0.7)


@pytest.fixture(autouse=True)
def _environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what the command says to the programs that it starts: other tests start some too."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))


def a_flood() -> Flood:
    row = {
        "lines_per_second": 1e6,
        "megabytes_per_second": 500.0,
        "cpu_seconds_per_gigabyte": 0.9,
        "cpu_seconds_per_million_lines": 1.0,
        "peak_mib": 50.0,
        "writers_cores": 0.9,
    }
    ratios = {
        f"{name}_{kind}_recording": 0.5
        for name in ("bare_pipe", "asyncio_json", "asyncio_orjson")
        for kind in ("with", "without")
    }
    rows = {"bare_pipe": row, "lucy_with_recording": row}
    return Flood(5, 100.0, 1000, 3, rows, {"jq": "not installed"}, ratios, {}, "bytes")


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=2000))
def test_quantiles_are_samples_in_order_that_the_named_share_does_not_exceed(samples: list[int]) -> None:
    found = Quantiles.of(samples)

    assert found.p50 <= found.p99 <= found.p999 <= found.max == max(samples)
    for share, value in ((0.5, found.p50), (0.99, found.p99), (0.999, found.p999)):
        assert value in samples
        assert sum(sample <= value for sample in samples) >= share * len(samples)
        assert sum(sample < value for sample in samples) < share * len(samples)


def test_no_samples_are_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="nothing that was written has arrived"):
        Quantiles.of([])


def test_rounds_are_joined_by_their_medians_and_their_worst() -> None:
    rounds = [Quantiles(10, p50, p99, 30, worst) for p50, p99, worst in ((1, 20, 90), (2, 10, 40), (9, 11, 50))]

    assert median_of(rounds) == Quantiles(30, 2, 11, 30, 90)


def test_contenders_take_turns_and_a_warm_up_is_not_counted() -> None:
    calls: list[str] = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    found = alternate(
        {name: functools.partial(measure, name) for name in "ab"}, rounds=2, say=nothing_said, warm_up=True
    )

    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_a_recording_that_gives_other_events_than_were_written_is_no_replay(tmp_path: Path) -> None:
    job = ReplayJob(str(tmp_path), lines=100, passes=2, way=SO_FAR)
    record(job)
    ask(job)
    log = job.logs[0]
    log.write_bytes(log.read_bytes().replace(b'"n":20,', b'"n":21,', 1))

    with pytest.raises(BenchmarkError, match="so_far, events by id: events are lost, doubled or moved"):
        ask(job)


def test_a_lost_doubled_or_moved_event_is_named_with_its_node() -> None:
    in_order([0, 20, 40], lines=60, every=20, node="n")
    for numbers in ([0, 40], [0, 20, 20, 40], [20, 0, 40]):
        with pytest.raises(BenchmarkError, match=r"n: events are lost, doubled or moved: \d of 3 came"):
            in_order(numbers, lines=60, every=20, node="n")


def test_a_measurement_that_breaks_says_how(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"benchmarks\.latency\.ping failed with 1: (?s:.*)FileNotFoundError"):
        apart(ping, LatencyJob(str(tmp_path / "nowhere"), 100, 10, 1))


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written() -> None:
    with (
        pytest.raises(BenchmarkError, match=r"writes .* GB to .* GB are free; point TMPDIR"),
        scratch("test", needs_bytes=1 << 60),
    ):
        pytest.fail("there is no such disk")


def test_a_target_knows_whether_it_was_met() -> None:
    assert Target("speed", 8.0, 8.0, at_least=True).met
    assert not Target("speed", 7.9, 8.0, at_least=True).met
    assert Target("lag", 5.0, 5.0).met
    assert not Target("lag", 5.1, 5.0).met


def test_the_json_of_a_flood_has_its_ratios_at_the_top() -> None:
    content = json.loads(output.as_json([flood_report(a_flood())], MACHINE))

    names = ("bare_pipe", "asyncio_json", "asyncio_orjson")
    assert {f"{name}_with_recording" for name in names} | {"bare_pipe_without_recording"} <= content["ratios"].keys()
    assert content["machine"]["kernel"] == "6.1"
    assert {target["met"] for target in content["targets"]} == {True, False}


def test_several_reports_stand_beside_each_other_by_name() -> None:
    content = json.loads(output.as_json([flood_report(a_flood()), Report("other", ratios={"a": 2.0})], MACHINE))

    assert content["reports"].keys() == {"flood", "other"}
    assert content["reports"]["other"]["ratios"] == {"a": 2.0}


def test_markdown_has_every_row_the_machine_and_the_plots(tmp_path: Path) -> None:
    table = Table("speeds", ["who", "how"])
    table.add("a|b", "1")
    report = Report("race", [table], [Target("t", 1, 2)], [Curve("c", "Curve", "x", "y", {})], {"z": "not installed"})

    text = output.as_markdown([report], MACHINE, {"c": [tmp_path / "figures" / "c.svg"]}, beside=tmp_path / "README.md")

    assert "an OS, Linux 6.1, Python 3.11.7" in text
    for part in ("| a\\|b | 1 |", "![Curve](figures/c.svg)", "| race: t |", "Skipped z: not installed"):
        assert part in text


def test_figures_go_between_the_marks_of_a_file_and_leave_the_rest_alone(tmp_path: Path) -> None:
    page, alone = tmp_path / "page.md", tmp_path / "alone.md"
    page.write_text(f"above\n{output.BEGIN}\nold\n{output.END}\nbelow\n")

    for path in (page, alone):
        output.put_into(path, "new\n")

    assert page.read_text() == f"above\n{output.BEGIN}\n\nnew\n\n{output.END}\nbelow\n"
    assert alone.read_text() == "new\n"


def test_the_readme_has_the_marks_that_a_new_run_fills() -> None:
    text = (REPOSITORY / "benchmarks" / "README.md").read_text()

    assert text.count(output.BEGIN) == text.count(output.END) == 1
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (REPOSITORY / "benchmarks" / picture).is_file(), picture


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("t", ["a", "b"]).add("x")


def test_plots_without_matplotlib_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(RUNS, "operators", lambda *_: pytest.fail("it was measured"))

    assert main(["operators", "--plots", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"benchmarks: {plots.MISSING}\n"


def test_one_benchmark_that_fails_does_not_cost_the_others_their_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> Report:
        raise BenchmarkError("a line was lost")

    for name in RUNS:
        monkeypatch.setitem(RUNS, name, lambda *_: Report("fine", [Table("fine", ["figure"], [["1"]])]))
    monkeypatch.setitem(RUNS, "latency", breaks)

    assert main(["all"]) == 1
    said = capsys.readouterr()
    assert said.err == "benchmarks: latency FAILED: a line was lost\n"
    assert said.out.count("fine") == len(RUNS) - 1


def test_every_benchmark_is_in_the_smoke_too() -> None:
    assert set(SMALL) == set(CHECKS) == set(RUNS)


def test_the_smoke_refuses_a_flood_that_lacks_lines() -> None:
    with pytest.raises(BenchmarkError, match="flood: 1000 lines instead of 25000"):
        CHECKS["flood"](flood_report(a_flood()))


@pytest.mark.parametrize("uvloop", (False, True))
def test_a_listener_hears_every_event_of_a_paced_writer(uvloop: bool, tmp_path: Path) -> None:
    job = LatencyJob(str(tmp_path), rate=5_000, lines=500, every=20, uvloop=uvloop, record=uvloop)

    assert apart(lucy_listener, job).lines == 25


def test_a_benchmark_from_end_to_end_leaves_tables_figures_and_plots(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("out.json", "out.md", "figures")}
    command = [sys.executable, "-m", "benchmarks", "operators", "--items", "300", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--json", files["out.json"], "--markdown", files["out.md"], "--plots", files["figures"]],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=REPOSITORY,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "filter, map, distinct" in done.stdout
    content = SimpleNamespace(**json.loads(files["out.json"].read_text()))
    assert content.figures["map"]["results"] == 300
    assert "![Through a chain of operators](figures/operators.svg)" in files["out.md"].read_text()
    assert {path.name for path in files["figures"].iterdir()} == {"operators.svg", "operators.png"}


def test_readers_of_formats_that_find_different_things_are_told_apart_by_the_first_such_line() -> None:
    layout = LAYOUTS["redis"]

    def louder(line: bytes) -> tuple[str, Severity, datetime]:
        text, severity, time = layout.by_hand(line)
        return text.upper() if text.endswith(" 3") else text, severity, time

    found = difference(layout._replace(by_hand=louder), 10)

    assert re.search(r"b'7:M .* 3' is {'by hand': \('[A-Z ]+ 3', .*'by name': \('[a-z ]+ 3'", found), found


def test_ways_of_a_step_that_find_different_things_are_no_measurement() -> None:
    table = Table("steps", ["step", "way", "best", "median", "warm", "ratio"])

    with pytest.raises(BenchmarkError, match="count: the ways don't find the same: {'by hand': {'7'}, 'fast': {'6'}}"):
        add_step(Report("steps"), table, "count", [{"by hand": Cost(0.2, "7"), "fast": Cost(0.1, "6")}])


def test_a_step_has_the_best_and_the_median_of_its_rounds_and_each_way_its_ratio_to_the_first() -> None:
    report, table = Report("steps"), Table("steps", ["step", "way", "best", "median", "warm", "ratio"])
    rounds = [{"by hand": Cost(cost, "7", 0.1), "fast": Cost(cost / 2, "7")} for cost in (0.4, 0.2, 0.8)]

    add_step(report, table, "count", rounds)

    assert table.rows == [
        ["count", "by hand", "0.200", "0.400", "0.100", "1.00x"],
        ["count", "fast", "0.100", "0.200", "", "0.50x"],
    ]
    assert report.ratios == {"count: fast / by hand": 0.5}


def test_what_a_hard_line_is_said_to_be_is_true_of_it() -> None:
    for line in hard_lines(1, 40):
        try:
            found = msgspec.json.decode(line.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = None
        assert isinstance(found, dict) == line.is_readable, line.kind
        if line.is_readable:
            assert found["n"] == line.n
            assert (found.get("event_id") == EVENT_ID) == line.is_event, line.kind
            assert bool(re.fullmatch(r"peer \S+ banned after \d strikes", found["msg"])) == line.is_event, line.kind


def test_what_a_reader_lost_took_doubled_or_moved_is_told_by_kind() -> None:
    kinds = {0: "", 1: "spaced", 2: "torn", 3: "", 4: ""}
    lines = [HardLine(n, kind, b"", is_event=n != 2, is_readable=n != 2) for n, kind in kinds.items()]

    told = judge(lines, [0, 4, 3, 2, 0], events=True)

    assert (told.found, told.wanted) == (3, 4)
    assert str(told) == "missed 1 spaced; took 1 torn; told 1 twice; changed their order"
    assert not str(judge(lines, [0, 1, 3, 4], events=True))


def test_a_tool_that_finds_nothing_and_fails_is_no_measurement(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    file.write_bytes(b'{"n":7,"peer":"a"}\n')

    assert find_by(lambda each: ["grep", "peer", str(each)], file, file, seconds=0).numbers == [7]
    with pytest.raises(BenchmarkError, match="failed with 1"):
        find_by(lambda each: ["grep", "nobody", str(each)], file, file, seconds=0)


def test_a_tool_that_waits_for_more_is_ended_after_the_last_line(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    file.write_bytes(b'{"n":7}\n{"n":8}\n')

    found = find_by(lambda each: ["tail", "-n", "+1", "-f", str(each)], file, file, seconds=0, until=8)

    assert found.numbers == [7, 8]


def a_small_pair(checkout: Path) -> Flood:
    return run_flood(
        nodes=1, lines_per_node=1_000, repeat=1, runs=1, contenders=("lucy_without_recording",), against=checkout
    )


def test_a_flood_compares_each_row_of_lucys_with_the_bare_recorder_and_with_her_plain_search() -> None:
    ours = ("lucy_with_recording", "lucy_without_recording")
    names = ("bare_recorder", *ours, *(f"{name}_plain" for name in ours))
    flood = run_flood(nodes=1, lines_per_node=1_000, repeat=1, runs=1, contenders=names)

    assert flood.rows.keys() == set(names)
    assert flood.ratios.keys() == {
        "bare_recorder_with_recording",
        "bare_recorder_without_recording",
        "lucy_with_recording_plain_with_recording",
        "lucy_without_recording_plain_without_recording",
    }
    targets = {target.name: target.unit for target in flood_report(flood).targets}
    assert targets == {
        "bytes/s over the bare recorder's, recording": "x",
        "CPU, recording": "s/GB",
        "CPU, no recording": "s/GB",
    }


def test_a_flood_says_where_no_faster_search_was_to_be_had() -> None:
    plain, fast = a_flood(), msgspec.structs.replace(a_flood(), searched="stringzilla")

    notes = set(flood_report(plain).tables[0].notes) - set(flood_report(fast).tables[0].notes)

    assert notes == {"stringzilla isn't to be had here: all of Lucy's rows search by bytes.find"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    place = tmp_path / "before"
    for name in ("lucy_core", "benchmarks"):
        shutil.copytree(REPOSITORY / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "figures"))
    return place


def test_another_checkout_is_measured_in_turn_with_this_one(copy: Path) -> None:
    flood = a_small_pair(copy)

    assert list(flood.rows) == ["lucy_without_recording", "lucy_without_recording in before"]
    pair = flood.paired["lucy_without_recording"]
    for spread, figure in (
        (pair.lines_per_second, "lines_per_second"),
        (pair.cpu_seconds, "cpu_seconds_per_million_lines"),
    ):
        ours, theirs = (row[figure] for row in flood.rows.values())
        assert spread.least == spread.median == spread.most == pytest.approx(ours / theirs)
    assert [table.title for table in flood_report(flood).tables][1:] == ["flood: this checkout over the other one"]


def test_it_is_the_other_checkouts_program_that_is_measured(copy: Path) -> None:
    with (copy / "lucy_core" / "delivery" / "scanning.py").open("a") as program:
        program.write("raise SystemExit('this is the copy')\n")

    with pytest.raises(RuntimeError, match="lucy_without_recording in before failed: this is the copy"):
        a_small_pair(copy)


@pytest.mark.parametrize("place", ("nowhere", "."))
def test_what_is_no_checkout_is_refused_by_name(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flood", "--against", str(tmp_path / place)]) == 1

    assert f"{tmp_path / place} is no checkout of Lucy" in capsys.readouterr().err
