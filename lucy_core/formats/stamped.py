"""Lines with a time or a severity in front, as most software writes them by itself. Sans-IO."""

from typing import final

from lucy_core.formats.shapes import MOMENT, WORDS, ShapedFormat, shape


@final
class StampedFormat(ShapedFormat):
    """Reads `2026-12-01 10:00:00 [error] text`, `[INFO] text`, Go's `2026/12/01 10:00:00 main.go:7: text`.

    A word in small letters counts as a severity only in brackets or before a colon: otherwise it may be the text's.
    """

    name = "text"
    begins = "[0123456789TDINWESCAFP"
    shapes = (
        shape(
            rf"(?:\[(?P<time>{MOMENT})\]|(?P<time_>{MOMENT}))(?: *[:|] +|\s+)",
            rf"(?:(?:[\[(](?P<level>(?i:{WORDS})) *[\])]:?|(?P<level_>{WORDS})\b:?|(?P<level__>(?i:{WORDS})):)",
            r"(?: +[-|] +|\s+|$))?",
            r"(?:(?P<file>[\w./-]+\.go):(?P<line>\d+): )?(?P<text>.*)",
        ),
        shape(rf"\[(?P<level>{WORDS}) *\]:?\s+(?P<text>.*)"),
        shape(rf"(?P<level>{WORDS}):\s+(?P<text>.*)"),
    )
