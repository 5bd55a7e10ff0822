"""Mina's lines: its levels in order, its templates filled in for people, and what daemons print beside their log."""

import itertools
from datetime import UTC, datetime

import pytest

from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.choice import log_format
from lucy_core.mina.format import LEVELS, MinaFormat
from lucy_core.records.severity import Severity
from lucy_core.testing.format_conformance import FormatConformance

PEER = (
    b'{"timestamp":"2026-12-01 10:00:00.123456Z","level":"Faulty_peer","source":{"module":"Gossip_net","location":"x"},'
    b'"message":"Peer $peer banned until $until: $reason","metadata":{"peer":{"host":"10.0.0.7"},"until":"tomorrow"}}'
)
BLOCK = (
    b'{"timestamp":"2026-12-01 10:00:01.000001Z","level":"Info","source":{"module":"Block_producer","location":"x"},'
    b'"message":"Successfully produced a new block: $height","metadata":{"height":12},'
    b'"event_id":"64e2d3e86c37c09b15efdaf7470ce879"}'
)
SPAM = (
    b'{"timestamp":"2026-12-01 10:00:02.000000Z","level":"Spam","message":"best tip","metadata":{"tip":"3N"},'
    b'"source":{"module":"A","location":"b"}}'
)
OFFSET = b"Environment variable MINA_TIME_OFFSET not found, using default of 0"
SUPERVISOR = b"mina_daemon_puppeteer_script: starting the daemon"


class TestMina(FormatConformance):
    log_format = MinaFormat()
    lines = (PEER, BLOCK, SPAM, OFFSET, SUPERVISOR)


def test_an_envelope_is_read_to_its_template_severity_time_and_variables() -> None:
    record = MinaFormat().read(PEER)
    assert record.text == "Peer $peer banned until $until: $reason"
    assert (record.severity, record.severity_text) == (Severity.ERROR2, "Faulty_peer")
    assert record.time == datetime(2026, 12, 1, 10, 0, 0, 123456, UTC)
    assert record.fields == {"peer": {"host": "10.0.0.7"}, "until": "tomorrow"}
    assert record.extra == {"source": {"module": "Gossip_net", "location": "x"}}
    assert MinaFormat().read(BLOCK).id == "64e2d3e86c37c09b15efdaf7470ce879"


@pytest.mark.parametrize("line", (PEER, BLOCK, SPAM))
def test_it_is_found_by_the_line_too_but_for_levels_that_nobody_else_has(line: bytes) -> None:
    found, named = AutoFormat().read(line), MinaFormat().read(line)
    assert (found.text, found.id, found.time, found.fields) == (named.text, named.id, named.time, named.fields)
    assert found.severity in (named.severity, Severity.UNSPECIFIED)


def test_the_variables_of_a_template_are_filled_in_for_people() -> None:
    shown = MinaFormat().render(MinaFormat().read(PEER))
    assert shown == (
        '2026-12-01 10:00:00.123+00:00 Faulty_peer Peer {"host":"10.0.0.7"} banned until tomorrow: $reason'
    )
    assert MinaFormat().render(MinaFormat().read(BLOCK)).endswith(" Successfully produced a new block: 12")


def test_levels_are_in_order() -> None:
    lines = [b'{"level":"%b","message":"m"}' % level.encode() for level in LEVELS]
    severities = [MinaFormat().read(line).severity for line in lines]
    assert all(less < more for less, more in itertools.pairwise(severities))


def test_what_daemons_print_beside_their_log_tells_of_no_error_and_other_text_may() -> None:
    for line in (OFFSET, SUPERVISOR):
        assert MinaFormat().read(line).severity == Severity.INFO
    assert MinaFormat().read(b"Fatal error: exception Stack_overflow").is_unleveled
    assert type(log_format("mina")) is MinaFormat
