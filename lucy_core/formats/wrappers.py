"""What takes lines along puts something around each of them: journald, docker compose, kubectl, CRI, syslog. Sans-IO.

A wrapper is taken off, and the line inside is read as if it stood alone. What the wrapper says is kept, in `extra` as
`wrapper`: a mapping for each wrapper, by its name, such as `{"kubectl": {"pod": "web-7", "container": "app"}}`. Where
the line inside has no time or severity of its own, the wrapper's counts.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from lucy_core.formats.shapes import TextRecord
from lucy_core.formats.syslog import SyslogFormat
from lucy_core.records.colours import readable, uncoloured
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity
from lucy_core.records.times import read_time_value

_NANOS = r"(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (?!std(?:out|err) [FP] ))?"
"""The time that Docker and Kubernetes put before a line where they are asked to: always with nine places."""
_compose = re.compile(rf"(?P<name>[A-Za-z0-9][\w.-]*+) *+\|(?: {_NANOS}(?P<line>.*)|$)", re.DOTALL)
_kubectl = re.compile(rf"\[pod/(?P<pod>[\w.-]++)/(?P<container>[\w.-]++)\](?: {_NANOS}(?P<line>.*)|$)", re.DOTALL)
_cri = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (?P<stream>stdout|stderr) "
    r"(?P<tags>[FP](?::[^ ]*)?)(?: (?P<line>.*)|$)",
    re.DOTALL,
)
_syslog = SyslogFormat()


class Wrapper(msgspec.Struct, frozen=True, gc=False):
    """What was around a line."""

    kind: str
    """Which wrapper: `journald`, `syslog`, `compose`, `kubectl` or `cri`."""
    line: bytes
    """The line inside."""
    said: Mapping[str, Any]
    stamp: str | datetime = ""
    level: Severity = Severity.UNSPECIFIED
    word: str = ""
    is_partial: bool = False
    """Whether the container's runtime has cut the line, which was too long for it: the next one goes on with it."""


class WrappedRecord(Record, frozen=True, gc=False, kw_only=True):
    """A line with its wrapper: `raw` is all of it, the rest is what the line inside says."""

    inner: Record
    """The line inside, as it is read alone."""
    wrapper: Wrapper

    @property
    def kind(self) -> str:
        """Which format, in which wrapper: `klog in cri`."""
        return f"{self.inner.kind} in {self.wrapper.kind}"

    @property
    def severity(self) -> Severity:
        return self.inner.severity or self.wrapper.level

    @property
    def severity_text(self) -> str:
        return self.inner.severity_text or self.wrapper.word

    @property
    def time(self) -> datetime | None:
        stamp = self.wrapper.stamp
        return self.inner.time or (stamp if isinstance(stamp, datetime) else read_time_value(stamp))

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.inner.fields

    @property
    def extra(self) -> Mapping[str, Any]:
        return _with(self.inner.extra, self.wrapper)

    @property
    def payload(self) -> msgspec.Raw | bytes | None:
        return self.inner.payload

    @property
    def document(self) -> Mapping[str, Any]:
        document = _with(self.inner.document, self.wrapper)
        if self.severity_text and not self.inner.severity_text:
            document = {"level": self.severity_text, **document}
        return document

    @property
    def continues(self) -> bool:
        return self.inner.continues


def _with(inside: Mapping[str, Any], wrapper: Wrapper) -> dict[str, Any]:
    others = inside.get("wrapper")
    return {**inside, "wrapper": {wrapper.kind: wrapper.said, **(others if isinstance(others, Mapping) else {})}}


def _off_syslog(line: bytes) -> Wrapper | None:
    return _off_head("syslog", _syslog.recognised(line, _exact(line)))


def _off_journald(line: bytes) -> Wrapper | None:
    return None if line.startswith(b"<") else _off_head("journald", _syslog.recognised(line, _exact(line)))


def _off_named_syslog(line: bytes) -> Wrapper | None:
    wrapper = _off_head("syslog", _syslog.recognised_as_named(line, _exact(line)))
    return wrapper if wrapper is not None and "app" in wrapper.said else None


def _off_named_journald(line: bytes) -> Wrapper | None:
    wrapper = None if line.startswith(b"<") else _off_named_syslog(line)
    return None if wrapper is None else msgspec.structs.replace(wrapper, kind="journald")


def _off_head(kind: str, record: Record | None) -> Wrapper | None:
    if not isinstance(record, TextRecord):
        return None
    said = {**record.head, **({"data": record.named} if record.named else {})}
    return Wrapper(kind, _bytes(record.text), said, record.stamp, record.level, record.word)


def _off_compose(line: bytes) -> Wrapper | None:
    found = _compose.fullmatch(_exact(line))
    return None if found is None else _off(found, "compose", ("name",))


def _off_kubectl(line: bytes) -> Wrapper | None:
    found = _kubectl.fullmatch(_exact(line))
    return None if found is None else _off(found, "kubectl", ("pod", "container"))


def _off_cri(line: bytes) -> Wrapper | None:
    found = _cri.fullmatch(_exact(line))
    if found is None:
        return None
    is_partial = found["tags"].startswith("P")
    said = {"stream": found["stream"], "partial": is_partial}
    return Wrapper("cri", _bytes(found["line"] or ""), said, found["time"], is_partial=is_partial)


def _off(found: re.Match[str], kind: str, names: tuple[str, ...]) -> Wrapper:
    return Wrapper(kind, _bytes(found["line"] or ""), {name: found[name] for name in names}, found["time"] or "")


def _exact(line: bytes) -> str:
    """Return a line as text that leads back to the same bytes."""
    return uncoloured(line).decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


WRAPPERS: Mapping[str, Callable[[bytes], Wrapper | None]] = {
    "cri": _off_cri,
    "kubectl": _off_kubectl,
    "compose": _off_compose,
    "syslog": _off_syslog,
    "journald": _off_journald,
}
"""By name: what takes a wrapper off a line, or says that there is none."""
NAMED: Mapping[str, Callable[[bytes], Wrapper | None]] = {
    **WRAPPERS,
    "syslog": _off_named_syslog,
    "journald": _off_named_journald,
}
"""The same where somebody says which it is: a daemon without a pid, behind a time of ISO 8601, may be a line's text."""


def wrapped_record(line: bytes, wrapper: Wrapper, read: Callable[[bytes], Record]) -> WrappedRecord:
    """Read a line inside its wrapper. Of a line that was cut what can't be read is text.

    Raises:
        ValueError, RecursionError: the line inside is malformed.
    """
    inside = wrapper.line
    if not inside.strip():
        return _around(line, plain(inside), wrapper)
    try:
        inner = read(inside)
    except (ValueError, RecursionError):
        if not wrapper.is_partial:
            raise
        inner = plain(inside)
    return _around(line, inner, wrapper)


def plain(line: bytes) -> Record:
    """Make a record of a line that is text and nothing more, as people read it."""
    return Record(raw=line, text=readable(line))


def _around(line: bytes, inner: Record, wrapper: Wrapper) -> WrappedRecord:
    return WrappedRecord(raw=line, text=inner.text, id=inner.id, inner=inner, wrapper=wrapper)
