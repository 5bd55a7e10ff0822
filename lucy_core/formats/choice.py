"""Which format a node speaks: found by its name, or made by the caller, and written down for a replay."""

import copy
import fnmatch
from collections.abc import Mapping
from typing import Any, TypeVar, final

import msgspec

from lucy_core.arguments import mapping_of, text_of
from lucy_core.capturing.tagged import SHARED
from lucy_core.errors import ArgumentError, UnknownNameError
from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.contract import Format, Strictness
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.plugins import Kind, load_plugin
from lucy_core.records.journal import JOURNAL
from lucy_core.records.keys import node_of, source_of
from lucy_core.records.record import Record

T = TypeVar("T")
AUTO = AutoFormat.name
"""The format of whoever chooses none."""


class _Choice(msgspec.Struct, omit_defaults=True):
    name: str
    options: dict[str, Any] = {}
    malformed: Strictness = Strictness.COUNT
    sources: dict[str, "_Choice"] = {}


def _fitting(source: str, by_source: Mapping[str, T]) -> T | None:
    found = by_source.get(source)
    if found is not None:
        return found
    return next((each for pattern, each in by_source.items() if fnmatch.fnmatchcase(source, pattern)), None)


@final
class NodeFormats:
    """In which format a node's lines are read, and those of single sources of it where they have their own."""

    __slots__ = ("of_node", "of_sources")

    def __init__(self, of_node: Format, of_sources: Mapping[str, Format] | None = None) -> None:
        self.of_node = of_node
        self.of_sources = dict(of_sources or {})
        """By what a source is called, or by a pattern of that: the first that fits, where it isn't named itself."""

    def of(self, source: str) -> Format:
        """Return the format in which a source's lines are read."""
        return _fitting(source, self.of_sources) or self.of_node

    @property
    def strictnesses(self) -> set[Strictness]:
        """What a malformed line may mean."""
        return {each.malformed for each in (self.of_node, *self.of_sources.values())}

    @property
    def are_strict(self) -> bool:
        """Whether some malformed line means more than that it is counted."""
        return self.strictnesses != {Strictness.COUNT}


def written(chosen: NodeFormats) -> str:
    """Write down which formats these are, so that `as_written` makes them again.

    Raises:
        ArgumentError: their options are nothing that JSON can carry.
    """

    def choice(each: Format) -> _Choice:
        return _Choice(each.name, dict(each.options), each.malformed)

    sources = {source: choice(each) for source, each in chosen.of_sources.items()}
    try:
        return msgspec.json.encode(msgspec.structs.replace(choice(chosen.of_node), sources=sources)).decode()
    except (TypeError, ValueError) as error:
        name = chosen.of_node.name
        raise ArgumentError("log_format", name, f"has options that can't be written down: {error}") from error


def name_written(text: str, source: str) -> str:
    """Return what the format of a node's source is called, of those that were written down for the node."""
    choice = msgspec.json.decode(text, type=_Choice)
    return (_fitting(source, choice.sources) or choice).name


def as_written(text: str) -> NodeFormats:
    """Make the formats that were written down.

    Raises:
        UnknownNameError: one isn't installed.
        BrokenPluginError: one can't be loaded.
        ArgumentError: one doesn't take these options any more.
    """

    def made(choice: _Choice) -> Format:
        return log_format(choice.name, malformed=choice.malformed, **choice.options)

    choice = msgspec.json.decode(text, type=_Choice)
    return NodeFormats(made(choice), {source: made(each) for source, each in choice.sources.items()})


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
    """Take a format as an argument: one, or its name."""
    return value if isinstance(value, Format) else log_format(text_of(value, name))


def formats_of(value: Any, name: str) -> NodeFormats:
    """Take a node's formats as an argument: one, or one by source (`""` is the others'); or what was written down."""
    if isinstance(value, Mapping):
        by_source = _BY_SOURCE(value, name)
        return NodeFormats(by_source.pop("", None) or AutoFormat(), by_source)
    if not (isinstance(value, str) and value.startswith("{")):
        return NodeFormats(format_of(value, name))
    try:
        return as_written(value)
    except msgspec.DecodeError as error:
        raise ArgumentError(name, value, f"is no format that was written down: {error}") from error


_BY_SOURCE = mapping_of(text_of, format_of, '{"stderr": "klog"}')


def chosen(value: Any, name: str) -> str:
    """Take a node's formats as an argument, for a description: as the text by which `formats_of` finds them again."""
    try:
        found = formats_of(value, name)
    except UnknownNameError as error:
        raise ArgumentError(name, value, f"is none: {error}") from error
    return value if isinstance(value, str) and not value.startswith("{") else written(found)


@final
class _Fragments(Format):
    """What is left on a shared pipe of lines that others wrote into: nobody's, and no line."""

    name = "fragments"

    def read(self, line: bytes) -> Record:  # noqa: ARG002  # whatever it is
        raise ValueError("it is part of a line that others on the shared pipe wrote into")


@final
class Formats:
    """The format of each node, and of each of its sources."""

    __slots__ = ("_chosen", "_default")

    def __init__(self) -> None:
        own = {JOURNAL: EnvelopeFormat(), SHARED: _Fragments()}
        self._chosen = {key: NodeFormats(each) for key, each in own.items()}
        self._default = NodeFormats(AutoFormat())

    def of(self, key: str) -> Format:
        """Return the format in which the lines of a node's source are read: its own, or its node's."""
        chosen = self._chosen.get(key) or self._chosen.get(node_of(key), self._default)
        return chosen.of(source_of(key))

    def choose(self, key: str, chosen: NodeFormats) -> None:
        """Read the lines of a source in this format from the next block on; of a node, those of all its sources."""
        self._chosen[key] = chosen
