"""A line as software writes it, and what is to be read of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from lucy_core.formats.choice import NodeFormats, as_written, written
from lucy_core.formats.contract import Format
from lucy_core.records.severity import Severity


class Sample(NamedTuple):
    """One line of one format."""

    format: str
    """By which it is read when it is named: `json`, `klog`."""
    kind: str
    """What its record calls itself, read so and through `auto`: `json (zap)`, `klog`."""
    line: bytes
    text: str
    severity: Severity = Severity.UNSPECIFIED
    word: str = ""
    """The line's own word for its severity."""
    time: datetime | None = None
    fields: Mapping[str, Any] = {}
    id: str | None = None
    extra: Mapping[str, Any] | None = None
    """What else it has; None where the sample doesn't care."""
    options: Mapping[str, Any] = {}
    """What the named format is made with."""
    auto: bool = True
    """Whether the line alone shows what it is, so that `auto` reads the same."""


def remade(chosen: Format) -> Format:
    """Return what is made again of a format that was written down."""
    return as_written(written(NodeFormats(chosen))).of_node


def at(*parts: int, micros: int = 0) -> datetime:
    """Return a time in UTC: year, month, day, and as much of the clock as matters."""
    return datetime(*parts, microsecond=micros, tzinfo=UTC)  # type: ignore[misc,arg-type]  # the zone comes by name


def each(samples: Iterable[Sample]) -> list[Any]:
    """Return samples as a test's parameters, the third of logrus called `json (logrus) 3`."""
    seen: Counter[str] = Counter()
    parameters = []
    for sample in samples:
        seen[sample.kind] += 1
        parameters.append(pytest.param(sample, id=f"{sample.kind} {seen[sample.kind]}"))
    return parameters
