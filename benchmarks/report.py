"""What a benchmark gives: tables, targets, curves and figures. Values only; `output` shows them."""

from typing import Any

import msgspec


class Table(msgspec.Struct):
    """Rows of words, the first column a name and the others figures."""

    title: str
    columns: list[str]
    rows: list[list[str]] = []
    notes: list[str] = []
    """What a reader has to know to read it rightly."""

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.columns):
            message = f"{self.title}: {len(cells)} cells for {len(self.columns)} columns: {cells}"
            raise ValueError(message)
        self.rows.append(list(cells))


class Target(msgspec.Struct, frozen=True):
    """A promise, beside what was measured."""

    name: str
    value: float
    limit: float
    at_least: bool = False
    """Whether more is better."""
    unit: str = "x"

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def promise(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g} {self.unit}"


class Curve(msgspec.Struct):
    """Several lines over one axis, for a plot. `bars` draws the points of each series beside each other instead."""

    name: str
    """Of the file, too."""
    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float | str, float]]]
    log_x: bool = False
    log_y: bool = False
    bars: bool = False


class Report(msgspec.Struct):
    """What one benchmark found."""

    name: str
    tables: list[Table] = []
    targets: list[Target] = []
    curves: list[Curve] = []
    skipped: dict[str, str] = {}
    """What couldn't be measured here, and why."""
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {}
    """The rest, for programs."""
