"""Which format a node speaks: found by its name, or made by the caller, and written down for a replay."""

import copy
from collections.abc import Mapping
from typing import Any, final

import msgspec

from lucy_core.arguments import text_of
from lucy_core.capturing.tagged import SHARED
from lucy_core.errors import ArgumentError, UnknownNameError
from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.contract import Format, Strictness
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.plugins import Kind, load_plugin
from lucy_core.records.journal import JOURNAL
from lucy_core.records.keys import node_of
from lucy_core.records.record import Record

AUTO = "auto"


class _Choice(msgspec.Struct, omit_defaults=True):
    name: str
    options: dict[str, Any] = {}
    malformed: Strictness = Strictness.COUNT


def written(chosen: Format) -> str:
    """Write down which format it is, so that `as_written` makes it again.

    Raises:
        ArgumentError: its options are nothing that JSON can carry.
    """
    try:
        return msgspec.json.encode(_Choice(chosen.name, dict(chosen.options), chosen.malformed)).decode()
    except (TypeError, ValueError) as error:
        raise ArgumentError("log_format", chosen.name, f"has options that can't be written down: {error}") from error


def as_written(text: str) -> Format:
    """Make the format that was written down.

    Raises:
        UnknownNameError: it isn't installed.
        BrokenPluginError: it can't be loaded.
        ArgumentError: it doesn't take these options any more.
    """
    choice = msgspec.json.decode(text, type=_Choice)
    return log_format(choice.name, malformed=choice.malformed, **choice.options)


def _strictness(value: Any, name: str) -> Strictness:
    try:
        return Strictness(value)
    except ValueError:
        raise ArgumentError(name, value, f"is none of {', '.join(Strictness)}") from None


def log_format(name: str, *, malformed: Strictness | str = Strictness.COUNT, **options: Any) -> Format:
    """Make a log format: one that Lucy ships, or that another distribution brings along.

    ::

        NodeSpec(name="api", log_format=lucy.log_format("json", message="msg", time="ts"), …)

    Args:
        name: the format's name, such as `json`.
        malformed: what a line means for the run that the format can't read: `"count"`, `"soft"` or `"fail"`.
        options: what the format takes.

    Raises:
        UnknownNameError: no format is called so.
        BrokenPluginError: it can't be loaded.
        ArgumentError: it doesn't take these options.
    """
    found = load_plugin(Kind.FORMAT, text_of(name, "name"), Format)  # type: ignore[type-abstract]
    strictness = _strictness(malformed, "malformed")
    try:
        made = type(found)(**options) if options else copy.copy(found)
    except TypeError as error:
        raise ArgumentError("log_format", options, f"is not what the format {name!r} takes: {error}") from error
    made.malformed = strictness
    return made


def format_of(value: Any, name: str) -> Format:
    """Take a format as an argument: one, its name, or what was written down of it."""
    if isinstance(value, Format):
        return value
    text = text_of(value, name)
    if not text.startswith("{"):
        return log_format(text)
    try:
        return as_written(text)
    except msgspec.DecodeError as error:
        raise ArgumentError(name, value, f"is no format that was written down: {error}") from error


def chosen(value: Any, name: str) -> str:
    """Take a format as an argument, for a description: as the text by which `format_of` finds it again."""
    try:
        found = format_of(value, name)
    except UnknownNameError as error:
        raise ArgumentError(name, value, f"is none: {error}") from error
    return found.name if isinstance(value, str) and not value.startswith("{") else written(found)


@final
class _Fragments(Format):
    """What is left on a shared pipe of lines that others wrote into: nobody's, and no line."""

    name = "fragments"

    def read(self, line: bytes) -> Record:  # noqa: ARG002  # whatever it is
        raise ValueError("it is part of a line that others on the shared pipe wrote into")


@final
class Formats:
    """The format of each node, or of each of its sources."""

    __slots__ = ("_chosen", "_default")

    def __init__(self, chosen: Mapping[str, Format] | None = None) -> None:
        self._chosen: dict[str, Format] = {JOURNAL: EnvelopeFormat(), SHARED: _Fragments(), **(chosen or {})}
        self._default: Format = AutoFormat()

    def of(self, key: str) -> Format:
        """Return the format in which the lines of a node's source are read: its own, or its node's."""
        return self._chosen.get(key) or self._chosen.get(node_of(key), self._default)

    def choose(self, key: str, chosen: Format) -> None:
        """Read the lines of a source in this format from the next block on; of a node, those of all its sources."""
        self._chosen[key] = chosen
