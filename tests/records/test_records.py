"""The values of the pipeline: what a line's own clock says, or that it says nothing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.formats.envelope import EnvelopeRecord
from lucy_core.records.times import read_time

SEVEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    (
        ("2024-05-06 07:08:09.123456Z", SEVEN.replace(microsecond=123456)),
        ("2024-05-06T07:08:09.123456789Z", SEVEN.replace(microsecond=123456)),
        ("2024-05-06T07:08:09,5Z", SEVEN.replace(microsecond=500000)),
        ("2024-05-06T07:08:09", SEVEN),
        ("2024-05-06t07:08:09z", SEVEN),
        ("2024-05-06 07:08:09 UTC", SEVEN),
        ("2024-05-06 07:08:09 +0000 UTC", SEVEN),
        ("2024-05-06T07:08:09-00:00", SEVEN),
        ("20240506T070809Z", SEVEN),
        ("2024-05-06T07:08:09+0530", SEVEN.replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("2024-05-06 07:08:09 -05:30", SEVEN.replace(tzinfo=timezone(-timedelta(hours=5, minutes=30)))),
    ),
)
def test_a_time_is_read_as_loggers_write_it(text: str, time: datetime) -> None:
    assert EnvelopeRecord(text="m", timestamp=text).time == time


@pytest.mark.parametrize(
    "text",
    (
        *(
            "1715000000",
            "1715000000.123",
            "1712123112",
            "1712123112345",
            "1715000000123456789",
            "20240506",
            "2024-W19-1",
        ),
        *("12:13:14", "2024-05-06", "Mon May  6 07:08:09 2024", "06/May/2024:07:08:09 +0000", "", "now"),
        *("2016-12-31T23:59:60Z", "2024-05-06T24:00:00Z", "2024-02-30T00:00:00Z", "2024-05-06T07:08:09+25:00"),
        *(
            " 2024-05-06T07:08:09Z",
            "2024-05-06T07:08:09Z\n",
            "\uff12\uff10\uff12\uff14-05-06T07:08:09Z",
            "2024-05-06T07:08:09Z\0",
        ),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-23:59"),
    ),
)
def test_what_is_no_time_for_sure_is_none(text: str) -> None:
    assert EnvelopeRecord(text="m", timestamp=text).time is None


@given(st.text(st.sampled_from("0123456789-:T Z+.,UC\n\u0663"), max_size=40))
def test_any_text_is_a_time_that_utc_can_tell_or_none(text: str) -> None:
    time = read_time(text)
    assert time is None or time.astimezone(UTC).isoformat()
