"""Lines that come wrapped: by docker compose, kubectl, a container's runtime, journald or syslog. Sans-IO."""

from collections.abc import Iterable, Mapping
from typing import Any, final

from lucy_core.arguments import anything, mapping_of, text_of
from lucy_core.errors import ArgumentError
from lucy_core.formats.choice import format_of, log_format
from lucy_core.formats.contract import Format, Needles
from lucy_core.formats.wrappers import NAMED, WRAPPERS, WrappedRecord, wrapped_record
from lucy_core.records.event import EventType
from lucy_core.records.record import Record

_written = mapping_of(text_of, anything, "{'name': 'json', 'options': {'message': 'msg'}}")
_options = mapping_of(text_of, anything, "{'message': 'msg'}")


@final
class WrappedFormat(Format):
    """Reads lines of another format inside a wrapper. A line without the wrapper is read as it stands."""

    name = "wrapped"
    finds_out = True

    def __init__(
        self,
        wrapper: str | None = None,
        inner: Format | str | Mapping[str, Any] = "auto",
    ) -> None:
        """Make one.

        Args:
            wrapper: `compose` (`docker compose logs`), `kubectl` (`kubectl logs --prefix`), `cri` (a container's
                runtime, as in `/var/log/pods`), `journald` (`journalctl`'s short form), or `syslog`. None is whichever
                a line has.
            inner: the format of the lines inside: its name, or one. Another `wrapped` is a wrapper in a wrapper.
                A mapping of its `name` and `options` is what `options` gives for one.

        Raises:
            ArgumentError: no wrapper is called so.
            UnknownNameError: no format is called so.
        """
        if wrapper is not None and text_of(wrapper, "wrapper") not in WRAPPERS:
            raise ArgumentError("wrapper", wrapper, f"is no wrapper; give one of {', '.join(sorted(WRAPPERS))}")
        self._wrapper = wrapper
        self._off = tuple(WRAPPERS.values()) if wrapper is None else (NAMED[wrapper],)
        self._inner = _inner_of(inner)

    @property
    def options(self) -> Mapping[str, Any]:
        options = dict(self._inner.options)
        inner = {"name": self._inner.name, "options": options} if options else self._inner.name
        return {"inner": inner} if self._wrapper is None else {"wrapper": self._wrapper, "inner": inner}

    def read(self, line: bytes) -> Record:
        for off in self._off:
            wrapper = off(line)
            if wrapper is not None:
                return wrapped_record(line, wrapper, self._inner.read)
        return self._inner.read(line)

    def needles(self, kinds: Iterable[EventType[Any]]) -> Needles | None:
        return self._inner.needles(kinds)

    def render(self, record: Record) -> str:
        if not isinstance(record, WrappedRecord):
            return self._inner.render(record)
        return super().render(record)


def _inner_of(value: Any) -> Format:
    """Take the format inside, also as `options` have it."""
    if not isinstance(value, Mapping):
        return format_of(value, "inner")
    named = _written(value, "inner")
    return log_format(text_of(named.get("name"), "inner['name']"), **_options(named.get("options", {}), "inner"))


def wrapped(wrapper: str, inner: Format | str = "auto") -> WrappedFormat:
    """Make a format of lines that come in a wrapper; `inner` may be another `wrapped`.

    Args:
        wrapper: which; see `WrappedFormat`.
        inner: the format of the lines inside: its name, or one.

    Raises:
        ArgumentError: no wrapper is called so.
        UnknownNameError: no format is called so.
    """
    return WrappedFormat(wrapper, inner)
