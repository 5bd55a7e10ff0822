"""The formats of text that are known by their lines, and which of them a line is of. Sans-IO.

What is recognised has a shape that prose, code, numbers and stack traces don't have by chance: better a plain record,
which says so, than one with a wrong text or severity. Which formats are tried is said by a line's first character.
"""

from collections.abc import Callable
from typing import Final

from lucy_core.formats.daemons import NatsFormat, PostgresqlFormat, RabbitmqFormat, RedisFormat
from lucy_core.formats.klog import KlogFormat
from lucy_core.formats.libraries import EnvLoggerFormat, Log4jFormat, PythonFormat, TracingFormat, ZapFormat
from lucy_core.formats.logfmt import LogfmtFormat
from lucy_core.formats.shapes import TextRecord, TextualFormat
from lucy_core.formats.stamped import StampedFormat
from lucy_core.formats.syslog import SyslogFormat, SyslogRecord
from lucy_core.formats.web import AccessFormat, ApacheErrorFormat, NginxErrorFormat
from lucy_core.formats.wrappers import WRAPPERS, WrappedRecord, Wrapper, plain, wrapped_record
from lucy_core.records.colours import uncoloured
from lucy_core.records.record import Record

KNOWN: Final[tuple[TextualFormat, ...]] = (
    KlogFormat(),
    PostgresqlFormat(),
    RabbitmqFormat(),
    RedisFormat(),
    NatsFormat(),
    NginxErrorFormat(),
    ApacheErrorFormat(),
    EnvLoggerFormat(),
    ZapFormat(),
    PythonFormat(),
    Log4jFormat(),
    TracingFormat(),
    SyslogFormat(),
    StampedFormat(),
)
"""In the order in which they are tried: who takes more comes later. Those that begin with anything stand apart."""
_DEPTH = 3
"""How many wrappers are taken off a line, and what is inside is text to the end."""
_NAME_BYTES = 128
"""How far the name may go that stands before a line."""
_ACCESS, _LOGFMT = AccessFormat(), LogfmtFormat()
_BY_FIRST: Final = {
    ord(first): tuple((known.has, known.recognised) for known in KNOWN if first in known.begins)
    for first in {first for known in KNOWN for first in known.begins}
}


def recognised(line: bytes, read_json: Callable[[bytes], Record], *, depth: int = _DEPTH) -> Record | None:
    """Read a line that is no JSON, if it is of a format that is known by its lines; None for a plain one.

    Args:
        line: without its newline.
        read_json: what reads JSON, for a line inside a wrapper.
        depth: how many wrappers may be around it.

    Raises:
        ValueError, RecursionError: it is wrapped JSON that is malformed; as `read_json`.
    """
    shown = uncoloured(line)
    if depth:
        found = _unwrapped(line, shown, read_json, depth - 1)
        if found is not None:
            return found
    text = shown.decode(errors="backslashreplace")
    for has, recognise in _BY_FIRST.get(shown[0], ()) if shown else ():
        found = recognise(line, text) if has in text else None
        if found is not None:
            return found
    if '] "' in text:
        found = _ACCESS.recognised(line, text)
        if found is not None:
            return found
    if "=" in text:
        found = _LOGFMT.recognised(line, text)
        if isinstance(found, TextRecord) and (found.text != text or found.stamp or found.level):
            return found
    return None if shown == line else Record(raw=line, text=text)


def _unwrapped(line: bytes, shown: bytes, read_json: Callable[[bytes], Record], depth: int) -> Record | None:
    def read(inside: bytes) -> Record:
        if inside.lstrip().startswith(b"{"):
            return read_json(inside)
        return recognised(inside, read_json, depth=depth) or plain(inside)

    wrapper = _wrapper_of(shown)
    if wrapper is None:
        return None
    found = wrapped_record(line, wrapper, read)
    is_plain = type(found.inner) is Record
    if wrapper.kind == "syslog":
        return _as_syslog(found) if is_plain else found
    return None if is_plain and wrapper.kind == "compose" and not _is_numbered(str(wrapper.said["name"])) else found


def _as_syslog(found: WrappedRecord) -> Record:
    """Return what `SyslogFormat` makes of a line of text, which has been read already."""
    wrapper = found.wrapper
    head = dict(wrapper.said)
    return SyslogRecord(
        raw=found.raw,
        text=found.text,
        shape=SyslogFormat.name,
        level=wrapper.level,
        word=wrapper.word,
        stamp=wrapper.stamp,
        named=head.pop("data", {}),
        head=head,
    )


def _wrapper_of(shown: bytes) -> Wrapper | None:
    """Take the wrapper off a line that surely has one; journald's is syslog's, as far as anybody sees."""
    if shown.startswith(b"[pod/"):
        return WRAPPERS["kubectl"](shown)
    if b"|" in shown[:_NAME_BYTES]:
        found = WRAPPERS["compose"](shown)
        if found is not None:
            return found
    first = shown[:1]
    if first.isdigit() and shown[10:11] == b"T":
        return WRAPPERS["cri"](shown) or WRAPPERS["syslog"](shown)
    return WRAPPERS["syslog"](shown) if first and first in b"<123456789JFMASOND" else None


def _is_numbered(name: str) -> bool:
    """Tell whether a name ends with a number, as those do that compose makes."""
    return name[-1:].isdigit() and (name.rstrip("0123456789")[-1:] in {"-", "_"})
