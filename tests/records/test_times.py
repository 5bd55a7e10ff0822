"""Times as all kinds of software write them: right, or not there."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lucy_core.records.times import read_time, read_time_value

DEC = datetime(2026, 12, 1, 10, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    (
        ("2026-12-01T10:00:00Z", DEC),
        ("2026-12-01 10:00:00,123", DEC.replace(microsecond=123000)),
        ("[2026-12-01 10:00:00,123]", DEC.replace(microsecond=123000)),
        ("2026/12/01 10:00:00", DEC),
        ("2026/12/01 10:00:00.123456", DEC.replace(microsecond=123456)),
        ("2026-12-01 10:00:00.123 UTC", DEC.replace(microsecond=123000)),
        ("2026-12-01 11:00:00.123 CET", DEC.replace(microsecond=123000)),
        ("2026-12-01 05:00:00 EST", DEC),
        ("2026-12-01 12:00:00.123+02", DEC.replace(microsecond=123000)),
        ("2026-12-01T05:00:00-05", DEC),
        ("01 Dec 2026 10:00:00.123", DEC.replace(microsecond=123000)),
        ("1 December 2026 10:00:00", DEC),
        ("Tue, 01 Dec 2026 11:00:00 +0100", DEC),
        ("Tue, 1 Dec 2026 10:00:00 GMT", DEC),
        ("[01/Dec/2026:03:00:00 -0700]", DEC),
        ("Tue Dec  1 10:00:00 2026", DEC),
        ("Tue Dec 01 10:00:00.123456 2026", DEC.replace(microsecond=123456)),
        ("Tue Dec  1 10:00:00 UTC 2026", DEC),
        ("Dec 01, 2026 10:00:00 AM", DEC),
        ("Dec 1, 2026 12:30:00 AM", DEC.replace(hour=0, minute=30)),
        ("Dec  1 10:00:00", DEC),
        ("Dec 1 10:00:00.5", DEC.replace(microsecond=500000)),
        ("Dec 02 10:00:00", DEC.replace(day=2)),
        ("Dec  3 10:00:00", DEC.replace(year=2025, day=3)),
        ("Feb 29 10:00:00", DEC.replace(year=2024, month=2, day=29)),
        ("1201 10:00:00.123456", DEC.replace(microsecond=123456)),
        ("0102 10:00:00.000001", DEC.replace(month=1, day=2, microsecond=1)),
    ),
)
def test_a_time_in_any_usual_spelling_is_read(text: str, time: datetime) -> None:
    assert read_time_value(text, now=NOW) == time


def test_a_time_without_a_year_is_the_latest_that_is_not_ahead() -> None:
    eve = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert read_time_value("Jan  1 00:00:01", now=eve) == datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert read_time_value("Dec 31 23:59:59", now=datetime(2027, 1, 1, tzinfo=UTC)) == eve


@pytest.mark.parametrize(
    "text",
    (
        *(
            "",
            "now",
            "10:00:00",
            "2026-12-01",
            "12/01/2026 10:00:00",
            "Dec 32 10:00:00",
            "Foo  1 10:00:00",
        ),
        *("2026-12-01 10:00:00 IST", "2026-12-01 10:00:00 XYZ", "2026/13/01 10:00:00", "Dec 01, 2026 13:00:00 PM"),
        *("01 Dec 2026 10:00:60", "01/Dec/2026:10:00:00 +9900", "1301 10:00:00.123456", "0229 10:00:00 2026"),
    ),
)
def test_what_has_no_spelling_or_several_meanings_is_no_time(text: str) -> None:
    assert read_time_value(text, now=NOW) is None


@pytest.mark.parametrize(
    ("value", "time"),
    (
        (1796119200, DEC),
        (1796119200.123456, DEC.replace(microsecond=123456)),
        (1796119200123, DEC.replace(microsecond=123000)),
        (1796119200123.5, DEC.replace(microsecond=123500)),
        (1796119200123456, DEC.replace(microsecond=123456)),
        (1796119200123456789, DEC.replace(microsecond=123456)),
        ("1796119200123456", DEC.replace(microsecond=123456)),
        ("1796119200.5", DEC.replace(microsecond=500000)),
        ("Dec  1 10:00:00", None),
        ({"seconds": 1796119200, "nanos": 123456789}, DEC.replace(microsecond=123456)),
        ({"seconds": "1796119200"}, DEC),
        ({"epochSecond": 1796119200, "nanoOfSecond": 5000}, DEC.replace(microsecond=5)),
        ({"$date": "2026-12-01T10:00:00.000+00:00"}, DEC),
    ),
)
def test_what_a_document_has_for_a_time_is_read(value: object, time: datetime | None) -> None:
    read = read_time_value(value)
    assert read is not None
    assert time is None or read == time


@pytest.mark.parametrize(
    "value",
    (
        None,
        True,
        0,
        -1,
        12.5,
        86400,
        float("nan"),
        float("inf"),
        10**20,
        -(10**400),
        10**400,
        [],
        {},
        {"seconds": "x"},
        "7",
        20261201100000,
        "20261201100001",
        "20261201100002.5",
        "20261201100000123",
        20991231235959999,
    ),
)
def test_a_number_that_counts_from_elsewhere_is_no_time(value: object) -> None:
    assert read_time_value(value) is None


@given(st.text(st.sampled_from("0123456789-:/[]T Z+.,UCDecJanPM\n\u0663"), max_size=32), st.floats() | st.integers())
def test_any_text_and_any_number_is_a_time_that_utc_can_tell_or_none(text: str, number: float) -> None:
    for time in (read_time_value(text), read_time_value(number)):
        assert time is None or time.astimezone(UTC).isoformat()


@given(
    st.from_regex(
        r"(?a)(?:0001|2026|2024|9999|\d{4})-(?:0[1-9]|1[0-2]|\d\d)-(?:[0-2]\d|\d\d)T[0-2]\d:[0-6]\d:[0-6]\d"
        r"(?:[.,]\d{1,10})?(?:Z|[+-][0-2]\d:[0-6]\d)?",
        fullmatch=True,
    )
)
@example("0001-01-01T00:00:00+00:01")
@example("9999-12-31T23:59:59-23:59")
@example("2026-12-01T24:00:00Z")
@example("2026-12-01T10:00:00.1234567899+23:59")
def test_the_usual_spelling_which_is_read_faster_means_what_others_mean(text: str) -> None:
    time = read_time(text)

    assert time == read_time(text.replace("T", "t"))
    assert time is None or str(time) == str(read_time(text.replace("T", "t")))
