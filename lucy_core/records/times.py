"""Reading times as lines have them. Sans-IO."""

import re
from datetime import UTC, datetime, timedelta, timezone

_match_time = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ](\d\d):?(\d\d):?(\d\d)(?:[.,](\d+))?"
    r"(?: ?(?:(?P<utc>[Zz]|UTC)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)(?: UTC)?))?",
    re.ASCII,
).fullmatch


def read_time(text: str) -> datetime | None:
    """Read a date with a time of day, as ISO 8601, RFC 3339, most software or Go write it; None for anything else.

    Without a zone it is taken for UTC. A number alone is none: `1712123112345` may be milliseconds, and ISO 8601 would
    have it in the year 1712. Nor is a second 60, or a time that UTC has no year for: a time is right or it isn't there.
    """
    found = _match_time(text)
    if found is None:
        return None
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    micros = int(((found[7] or "") + "000000")[:6])
    try:
        zone = UTC if not offset else timezone(-offset if found["sign"] == "-" else offset)
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        time = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time
