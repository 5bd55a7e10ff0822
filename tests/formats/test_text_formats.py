import contextlib
import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import remade
from text_samples import TEXT_SAMPLES

from lucy_core.errors import ArgumentError
from lucy_core.formats.choice import log_format
from lucy_core.formats.known import KNOWN, recognised
from lucy_core.formats.pairs import pairs_at_end
from lucy_core.formats.shapes import TextualFormat
from lucy_core.formats.text import TextFormat
from lucy_core.formats.wrapped import wrapped
from lucy_core.formats.wrappers import WRAPPERS
from lucy_core.records.colours import uncoloured
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity

NAMES = sorted({sample.format for sample in TEXT_SAMPLES})


def said(record):
    return record.text, record.severity, record.time, dict(record.fields)


def read_json(line):
    return log_format("json").read(line)


def known(line):
    return recognised(line, read_json) or Record(raw=line, text=line.decode())


def check(record, sample):
    assert said(record) == (sample.text, sample.severity, sample.time, sample.fields)
    assert (record.kind, record.severity_text, record.raw) == (sample.kind, sample.word, sample.line)
    assert record.extra == (sample.extra or {})


@pytest.mark.parametrize("sample", TEXT_SAMPLES)
def test_a_line_is_read_by_its_format(sample):
    chosen = log_format(sample.format, **sample.options)
    check(chosen.read(sample.line), sample)
    check(remade(chosen).read(sample.line), sample)


@pytest.mark.parametrize("sample", [sample for sample in TEXT_SAMPLES if sample.auto])
def test_a_line_is_recognised(sample):
    check(known(sample.line), sample)


def test_each_format_and_wrapper_is_shown_by_three_lines():
    shown = Counter(sample.options.get("wrapper", sample.format) for sample in TEXT_SAMPLES)
    assert {name for name, count in shown.items() if count < 3} == set()
    assert {*NAMES} - {"wrapped"} | {*WRAPPERS} == {*shown}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_line_of_another_shape_is_plain(name):
    for line in (b"well, well", b"", b"  at a.b(C.java:1)", b"\xff\xfe", b"\x1b[31mred\x1b[0m"):
        record = log_format(name).read(line)
        assert type(record) is Record
        assert record.raw == line
    assert record.text == "red"


@pytest.mark.parametrize(
    "line",
    (
        "hello world",
        "Error: listen EADDRINUSE: address already in use",
        "Warning: Something is deprecated",
        "42",
        "3.14 is about pi",
        "12:30 lunch",
        "2026-12-01",
        "2026-12-01 10:00:00",
        "2026-12-01 10:00:00,1,2,3",
        "10.0.0.7 is the client's address",
        "    at com.example.App.main(App.java:12)",
        '  File "app.py", line 12, in main',
        "Traceback (most recent call last):",
        "Caused by: java.io.IOException: broken",
        "goroutine 1 [running]:",
        "main.main()",
        "\t/src/main.go:12 +0x1d",
        "thread 'main' panicked at src/main.rs:4:5:",
        "for i in x: y = 2",
        "x = 1",
        "x=1",
        "FOO=bar",
        "PATH=/usr/bin:/bin HOME=/root",
        "if (a == b) return;",
        "a | b | c",
        " id | name",
        "db  | hello",
        "a=b=c and so on",
        "[1, 2, 3]",
        "[pod/a] hello",
        "<html>",
        "<1 of 2>",
        "May the force be with you",
        "I1201 is a flight",
        "Database: ok",
        "INFO about it",
        "DETAILS: none",
        "#!/bin/sh",
        '"quoted"',
        "=",
        "==> x <==",
        "|",
    ),
)
def test_what_has_no_shape_by_more_than_chance_is_not_recognised(line):
    assert recognised(line.encode(), read_json) is None


def test_journalds_lines_are_read_as_syslogs():
    record = known(b'Dec 01 10:00:00 host app[7]: {"level":"error","message":"lost"}')
    assert record.extra["wrapper"] == {"syslog": {"host": "host", "app": "app", "pid": "7"}}
    assert (record.text, record.severity) == ("lost", Severity.ERROR)
    record = known(b"Dec 01 10:00:00 host systemd[1]: Started nginx.service.")
    assert (record.text, record.kind) == ("Started nginx.service.", "syslog")


@pytest.mark.parametrize("wrapper", ("syslog", "journald"))
@pytest.mark.parametrize("time", ("2026-12-01T10:00:00.123456+00:00", "2026-12-01T10:00:00+0000", "Dec  1 10:00:00"))
def test_a_wrapper_that_is_named_is_taken_off_a_daemon_without_a_pid_too(wrapper: str, time: str) -> None:
    record = wrapped(wrapper).read(f'{time} host app: {{"level":"error","message":"lost"}}'.encode())
    assert (record.text, record.severity) == ("lost", Severity.ERROR)
    assert record.extra["wrapper"] == {wrapper: {"host": "host", "app": "app"}}
    assert wrapped(wrapper).read(b"2026-12-01T10:00:00Z is when it began").text == "is when it began"


def test_wrappers_in_wrappers_are_taken_off_and_all_is_kept():
    line = b'web-1  | [pod/web-7/app] 2026-12-01T10:00:00.123456789Z stdout F {"level":"error","message":"lost"}'
    expected = {
        "compose": {"name": "web-1"},
        "kubectl": {"pod": "web-7", "container": "app"},
        "cri": {"stream": "stdout", "partial": False},
    }
    chosen = wrapped("compose", wrapped("kubectl", wrapped("cri", log_format("json", message="message"))))
    again = remade(chosen)
    for record in (chosen.read(line), again.read(line), known(line)):
        assert record.text == "lost"
        assert record.severity is Severity.ERROR
        assert record.extra["wrapper"] == expected
    assert again.options == chosen.options


def test_wrappers_are_taken_off_only_so_deep():
    record = known(b"[pod/a/b] " * 100_000 + b"hello")
    assert record.text.endswith("] hello")


def test_a_line_without_the_wrapper_is_read_as_it_stands():
    assert wrapped("compose", "klog").read(b"I1201 10:00:00.123456 1 a.go:1] up").severity is Severity.INFO
    assert type(wrapped("compose", "klog").read(b"hello")) is Record


def test_a_wrapped_line_that_is_malformed_is_malformed():
    with pytest.raises(ValueError, match="."):
        wrapped("cri", "json").read(b'2026-12-01T10:00:00.123456789Z stdout F {"message":"lo')
    with pytest.raises(ValueError, match="."):
        known(b'2026-12-01T10:00:00.123456789Z stdout F {"message":"lo')


def test_bytes_that_are_no_utf_8_come_through_a_wrapper():
    record = wrapped("compose", "klog").read(b"web-1  | I1201 10:00:00.123456 1 a.go:1] \xff\xfe up")
    assert record.text == "\\xff\\xfe up"
    assert record.inner.raw == b"I1201 10:00:00.123456 1 a.go:1] \xff\xfe up"


def test_an_unknown_wrapper_is_refused():
    with pytest.raises(ArgumentError, match="wrapper='kubernetes' is no wrapper; give one of compose, cri, journald"):
        wrapped("kubernetes")


def test_a_stack_trace_in_a_wrapper_goes_on_with_the_record_before():
    assert known(b"web-1  |     at a.b(C.java:1)").continues
    assert known(b"Dec  1 10:00:00 host app[1]:     at a.b(C.java:1)").continues
    assert not known(b"web-1  | hello").continues


def test_what_follows_a_message_of_postgresql_goes_on_with_it():
    detail = log_format("postgresql").read(b"2026-12-01 10:00:00.123 UTC [123] ann@app DETAIL:  Key (id)=(1) exists.")
    assert detail.continues
    assert not detail.is_unleveled
    assert detail.severity is Severity.UNSPECIFIED


def test_a_format_says_who_wrote_a_line_and_where():
    record = log_format("postgresql").read(
        b"2026-12-01 10:00:00 UTC [123]: [1-1] user=ann,db=app,app=psql,client=10.0.0.7 LOG:  hello"
    )
    assert record.extra == {
        "pid": "123",
        "user": "ann",
        "database": "app",
        "application": "psql",
        "client": "10.0.0.7",
    }
    record = log_format("klog").read(b'I1201 10:00:00.123456 7 a.go:1] "up" n=1')
    assert record.extra == {"thread": "7", "file": "a.go", "line": "1"}
    assert record.document == {"message": "up", "level": "I", "thread": "7", "file": "a.go", "line": "1", "n": "1"}
    record = log_format("log4j").read(b"[2026-12-01 10:00:00,123] INFO [X id=0] started (kafka.server.X)")
    assert record.extra == {"logger": "kafka.server.X"}


def test_a_severity_keeps_the_words_own_spelling():
    assert log_format("redis").read(b"1:M 01 Dec 2026 10:00:00.123 # low").severity_text == "#"
    assert log_format("syslog").read(b"<27>app: x").severity_text == "err"
    assert log_format("logfmt").read(b"level=loud msg=x").severity_text == "loud"
    assert log_format("logfmt").read(b"level=loud msg=x").is_unleveled


def test_syslogs_numbers_are_those_of_opentelemetry():
    read = log_format("syslog").read
    found = [read(f"<{24 + number}>app: x".encode()).severity.value for number in range(8)]
    assert found == [21, 19, 18, 17, 13, 10, 9, 5]
    assert type(read(b"<192>app: x")) is Record


# The caller's own expression


def test_an_expression_says_what_is_what():
    chosen = TextFormat(
        r"(?P<time>\S+ \S+) (?P<level>\w) (?P<member>\w+): (?P<text>.*)",
        levels={"E": Severity.ERROR, "W": "warn", "N": 10, "D": Severity.UNSPECIFIED},
        time="%d.%m.%Y %H:%M",
    )
    for read in (chosen.read, remade(chosen).read):
        record = read(b"01.12.2026 10:00 E bp1: lost it")
        assert said(record) == (
            "lost it",
            Severity.ERROR,
            datetime(2026, 12, 1, 10, tzinfo=UTC),
            {"member": "bp1"},
        )
        assert record.severity_text == "E"
        assert read(b"01.12.2026 10:00 W bp1: x").severity is Severity.WARN
        assert read(b"01.12.2026 10:00 N bp1: x").severity is Severity.INFO2
        assert read(b"01.12.2026 10:00 D bp1: x").severity is Severity.UNSPECIFIED
        assert read(b"01.12.2026 10:00 Q bp1: x").severity is Severity.UNSPECIFIED
        assert read(b"31.02.2026 10:00 E bp1: x").time is None
        assert type(read(b"hello")) is Record


def test_an_expression_without_options_reads_times_and_words_as_everybody_writes_them():
    chosen = log_format("text", pattern=r"(?P<level>\w+) (?P<time>\S+) (?P<message>.*)")
    record = chosen.read(b"Warning 2026-12-01T10:00:00+02:00 low")
    assert said(record) == ("low", Severity.WARN, datetime(2026, 12, 1, 10, tzinfo=timezone(timedelta(hours=2))), {})


def test_an_expression_without_a_text_leaves_the_line_as_the_text():
    assert said(TextFormat(r"peer (?P<peer>\w+)").read(b"peer a7 banned"))[::3] == ("peer a7 banned", {"peer": "a7"})


def test_an_expressions_flags_are_written_down_with_it():
    chosen = TextFormat(re.compile(r"PEER (?P<peer> \w+ )", re.IGNORECASE | re.VERBOSE))
    again = remade(chosen)
    assert again.read(b"peera7").fields == chosen.read(b"peera7").fields == {"peer": "a7"}


@pytest.mark.parametrize(
    ("options", "reason"),
    (
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": 7}, "is of type int; give text"),
        ({"pattern": re.compile(b"x")}, "is an expression for bytes; give one for text"),
        ({"pattern": "x", "levels": {"E": "terrible"}}, "is no severity"),
        ({"pattern": "x", "levels": {"E": 25}}, "is no severity"),
        ({"pattern": "x", "levels": "E"}, "give a mapping, like {'E': 'ERROR'"),
        ({"pattern": "x", "time": "%Q"}, "is no format of strptime"),
        ({"colour": "x"}, "is not what the format 'text' takes"),
    ),
)
def test_a_text_format_refuses_what_it_cannot_use(options, reason):
    with pytest.raises(ArgumentError, match=re.escape(reason)):
        log_format("text", **options)


def test_logfmt_takes_the_callers_names():
    chosen = log_format("logfmt", message="event", level="sev", time="when")
    record = chosen.read(b"when=2026-12-01T10:00:00Z sev=error event=lost level=7")
    assert said(record) == ("lost", Severity.ERROR, datetime(2026, 12, 1, 10, tzinfo=UTC), {"level": "7"})
    assert remade(chosen).options == chosen.options


def test_a_time_that_took_is_no_time_of_day():
    record = known(b"level=info msg=done time=5ms at=main.go")
    assert said(record) == ("done", Severity.INFO, None, {"time": "5ms", "at": "main.go"})
    assert recognised(b"time=5 size=3", read_json) is None


# Hostile lines


@pytest.mark.parametrize(
    "piece",
    (
        "a=(",
        'a="',
        "a=",
        "[",
        '"',
        "\\",
        " (a",
        " a=(",
        ", client: ",
        "\x1b[",
        "\x1b]",
        "{",
        ":",
        " ",
        "[a] ",
        "a::",
        "<",
        '[a b="',
    ),
)
@pytest.mark.parametrize(
    "head",
    (
        "",
        "2026-12-01T10:00:00.123456Z  INFO ",
        "2026-12-01 10:00:00,123 INFO ",
        "[2026-12-01 10:00:00,123] INFO ",
        "2026-12-01 10:00:00 UTC ",
        'I1201 10:00:00.123456 1 a.go:1] "up" ',
        "2026/12/01 10:00:00 [error] 31#32: *7 x",
        '10.0.0.7 - - [01/Dec/2026:10:00:00 +0000] "',
        "<34>1 2026-12-01T10:00:00Z h a p m ",
        "level=info msg=x ",
        "web-1  | ",
    ),
)
def test_no_line_takes_longer_than_it_is_long(head, piece):
    line = head.encode() + piece.encode() * 60_000  # quadratic would be minutes: the test's own limit would end it
    with contextlib.suppress(ValueError):  # malformed JSON inside a wrapper
        assert known(line).raw == line


@pytest.mark.parametrize("piece", (" ", "a", "a.", ":", "- ", "| ", "[", "] ", "ERROR ", " : "))
@pytest.mark.parametrize("head", ("", "app", "2026-12-01 10:00:00,123", "2026-12-01 10:00:00,123 ERROR", "[ERROR"))
def test_a_named_format_takes_no_longer_than_a_line_is_long(head, piece):
    line = head.encode() + piece.encode() * 60_000 + b"\n"
    assert log_format("python").read(line).raw == line


@pytest.mark.parametrize("known_format", KNOWN, ids=lambda each: each.name)
def test_what_each_line_of_a_format_has_is_in_each_line_that_has_its_shape(known_format: TextualFormat) -> None:
    lines = [uncoloured(sample.line) for sample in TEXT_SAMPLES]
    own = [text for text in map(bytes.decode, lines) if known_format.recognised(text.encode(), text) is not None]
    assert own
    assert all(known_format.has in text and text[0] in known_format.begins for text in own)


@pytest.mark.parametrize(
    ("text", "head", "pairs"),
    (
        ("", "", {}),
        ("  up ", "  up", {}),
        ("a=1", "", {"a": "1"}),
        ("is up  a=1 b=2", "is up", {"a": "1", "b": "2"}),
        ("a=1 up b=2", "a=1 up", {"b": "2"}),
        ("is up a=1 now", "is up a=1 now", {}),
    ),
)
def test_the_pairs_that_a_line_ends_with_are_parted_from_what_it_says(text: str, head: str, pairs: dict[str, str]):
    assert pairs_at_end(text) == (head, pairs)


@given(st.lists(st.sampled_from(("peer", "a=1", 'b="x y"', "c=[1 2", "=", "d=", '"', "\u00a0", " ", "]")), max_size=8))
def test_words_before_the_first_pair_change_nothing_of_the_pairs_at_a_lines_end(words: list[str]) -> None:
    text = " ".join(words)
    head, pairs = pairs_at_end(text)

    assert text.startswith(head)
    assert pairs_at_end(f"two words {text}") == (f"two words {head}".rstrip(), pairs)
