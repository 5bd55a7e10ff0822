"""What a log format is. Sans-IO.

A format reads lines. It is a function of each line alone: what a line says doesn't depend on its neighbours, on how the
bytes were cut into blocks, or on who has asked. So a run reads the same live, from the middle, and on replay; but a
time that is written without its year, as syslog's and klog's are, gets that when it is asked for, by this machine's
clock.
"""

import abc
import codecs
import enum
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, final

import msgspec

from lucy_core.capturing.framing import LINE_BYTES
from lucy_core.records.event import TEXT_IN_NUMBERS, EventType
from lucy_core.records.record import Block, Malformed, Record, plain_record
from lucy_core.records.wording import LEAST, filled_in, safe_run

_set_field = msgspec.structs.force_setattr


@final
class Batch:
    """A block that was read, or what is wanted of it. `records[i]` stands at `positions[i]`."""

    __slots__ = (
        "_lacks_raw",
        "_lines",
        "at",
        "block",
        "found",
        "malformed",
        "positions",
        "records",
        "source",
        "unleveled",
    )

    def __init__(
        self,
        block: Block,
        records: list[Record],
        positions: Sequence[int],
        malformed: list[Malformed],
        *,
        found: Mapping[str, int] | None = None,
        unleveled: int = 0,
        lacks_raw: bool = False,
    ) -> None:
        self.block = block
        """What was read."""
        self.records = records
        """As they were read: take them from here by `at` or `whole`, for some lack their `raw` yet."""
        self.positions = positions
        """Where each of the records stands."""
        self.malformed = malformed
        """The lines that could not be read, in their order."""
        self.found: Mapping[str, int] = {} if found is None else found
        """How many lines were of which format, where the format finds out."""
        self.unleveled = unleveled
        """How many records don't say how much they matter."""
        self.source = block.data
        """What was read in one piece: the block, or those of its lines that a search found; empty where lines were."""
        self._lacks_raw = lacks_raw
        """Whether its records, one a line, lack their `raw` yet, which costs a copy of each line."""
        self.at: Callable[[int], Record] = self._completed if lacks_raw else records.__getitem__
        """Returns a record as it is given to others: with its line's bytes."""
        self._lines: list[bytes] = []

    def _completed(self, index: int) -> Record:
        record = self.records[index]
        self._lines = self._lines or self.source.split(b"\n")
        _set_field(record, "raw", self._lines[index])
        return record

    def whole(self) -> list[Record]:
        """Return all records as they are given to others."""
        if self._lacks_raw:
            for record, line in zip(self.records, self._lines or self.source.split(b"\n"), strict=False):
                _set_field(record, "raw", line)
            self._lacks_raw = False
            self.at = self.records.__getitem__
        return self.records

    def placed(self, block: Block, positions: Sequence[int], lines: list[bytes]) -> "Batch":
        """Return what was read of some lines of a block, the `i`th at `positions[i]`, as what is wanted of it."""
        first = self.block.position
        if self.malformed or len(self.records) != len(positions):
            bad = [msgspec.structs.replace(each, position=positions[each.position - first]) for each in self.malformed]
            positions = [positions[position - first] for position in self.positions]
        else:
            bad = []
        placed = Batch(
            block,
            self.records,
            positions,
            bad,
            found=self.found,
            unleveled=self.unleveled,
            lacks_raw=self._lacks_raw,
        )
        placed.source = self.source
        placed._lines = lines
        return placed

    @property
    def bytes_read(self) -> bytes:
        """The bytes in which its records stand, with what else was read in one piece with them."""
        return self.source or b"\n".join([record.raw for record in self.records])


VALUE = b':"'
"""What stands between a key and its value."""


@enum.unique
class Strictness(enum.StrEnum):
    """What a line that a format can't read means for the run, beside that it is counted and shown in every report."""

    COUNT = "count"
    """Nothing."""
    SOFT = "soft"
    """A soft error, held against the run once a node: it goes on, and has not passed."""
    FAIL = "fail"
    """The run's end: whatever is awaited raises a `MalformedLineError`."""


class Needles(msgspec.Struct, frozen=True):
    """What to search a block for, instead of reading it: each wanted line has one of these in its bytes."""

    literals: tuple[bytes, ...] = ()
    """Texts, which may stand anywhere in the line."""
    key: bytes = b""
    """Behind which ids stand, quoted: `"event_id"`. Empty where no line is wanted for its id."""
    values: frozenset[bytes] | None = frozenset()
    """What stands behind it up to the closing quote, `:"64e2d3…`, in lines that are wanted; None for whatever it be."""
    may_be_coloured: bool = False
    """Whether colours may stand amid the texts, so that a block with colours has to be read."""


class Format(abc.ABC):
    """How lines of one kind are read. Derive from it and have `read`; the rest may be made faster, or better to read.

    `lucy_core.testing.format_conformance` holds one to the contract.
    """

    name: ClassVar[str]
    """What it is called: as `log_format=`, in the ledger, as its entry point in `lucy.formats`."""
    malformed: Strictness = Strictness.COUNT
    """What a malformed line means for the run; `log_format(…, malformed="fail")` says it."""
    reads_numbers: ClassVar[bool] = False
    """Whether a text may be given by its bytes as numbers, as journald gives it, so that it isn't spelt."""
    id_key: ClassVar[bytes] = b""
    """Behind which a record's `id` stands in its line, quoted: `"event_id"`. Empty where that isn't so for each."""
    finds_out: ClassVar[bool] = False
    """Whether its lines may be of several kinds, so that the ledger counts each record's `kind`."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was made with, by the names of its constructor's arguments, as JSON can carry it."""
        return {}

    @abc.abstractmethod
    def read(self, line: bytes) -> Record:
        """Read a line, given without its newline; its record's `raw` is the line.

        A line that is no more than text is a plain record (`plain_record`), among structured ones too.

        Raises:
            ValueError: it is malformed: it says that it is of this format and can't be read; with the reason.
            RecursionError: it is nested too deeply.
        """

    def read_block(self, block: Block) -> Batch:
        """Read all lines of a block. Never raises: each line is in `records` or in `malformed`, exactly once."""
        return read_by_line(block, self)

    def read_lines(self, block: Block, positions: Sequence[int], lines: list[bytes]) -> Batch:
        """Read some lines of a block, the `i`th at `positions[i]`, as `read_block` reads it, which may lack its bytes.

        Never raises.
        """
        some = Block(block.node, 0, block.offset, len(lines), block.arrived_ns, b"\n".join((*lines, b"")))
        return self.read_block(some).placed(block, positions, lines)

    def needles(self, kinds: Iterable[EventType[Any]]) -> Needles | None:
        """Return what to search a block for where nothing but events of these types is wanted of it.

        None where a line may be of one of them without any bytes in particular: then every line is read.
        """
        by_key: list[EventType[Any]] = []
        others: list[EventType[Any]] = []
        for kind in kinds:
            has_id = self.id_key and kind.is_known_by_id and all(map(_is_plain, kind.ids))
            (by_key if has_id else others).append(kind)
        needles = self.literals(others)
        if needles is None or not by_key:
            return needles
        values = frozenset(VALUE + event_id.encode() for kind in by_key for event_id in kind.ids)
        is_any = any(kind.message_needs_id for kind in by_key)
        return msgspec.structs.replace(needles, key=self.id_key, values=None if is_any else values)

    def literals(self, kinds: Iterable[EventType[Any]]) -> Needles | None:
        """Return the texts to search for, wherever in a line they stand; None as `needles` has it."""
        found: list[bytes] = []
        is_coloured = False
        for kind in kinds:
            if kind.needles is None:
                return None
            found += kind.needles
            # In an object with ids no value has colours, but a line beside these may be text.
            is_coloured |= kind.is_of_text or not self.id_key
            if self.reads_numbers and kind.is_of_text:
                found.append(TEXT_IN_NUMBERS)
        return Needles(tuple(dict.fromkeys(found)), may_be_coloured=is_coloured)

    def render(self, record: Record) -> str:
        """Show a record to people in one line: its time, its severity, what it says, and its fields."""
        return rendered(record)


def _is_plain(text: str) -> bool:
    return len(text) >= LEAST and safe_run(text) == text


def read_by_line(block: Block, of: Format) -> Batch:
    """Read a block line by line: each bad line costs its block that, and itself a `Malformed`."""
    records: list[Record] = []
    positions: list[int] = []
    malformed: list[Malformed] = []
    found: Counter[str] = Counter()
    unleveled = 0
    lines = block.data.split(b"\n")
    if not block.torn:
        lines.pop()  # what follows the last newline: nothing
    last = block.position + len(lines) - 1
    read, finds_out = of.read, of.finds_out
    for position, line in enumerate(lines, block.position):
        is_torn = block.torn and position == last
        if is_torn:
            reason = _overlong(block) if block.overlong else "the writer ended in mid-line"
        else:
            try:
                if line.startswith(codecs.BOM_UTF8):
                    record = read(line[len(codecs.BOM_UTF8) :])
                    msgspec.structs.force_setattr(record, "raw", line)
                else:
                    record = read(line) if not line.isspace() and line else plain_record(line)
            except RecursionError:
                reason = "nested too deeply"
            except ValueError as error:  # DecodeError, ValidationError and UnicodeDecodeError are all of this kind
                reason = str(error)
            else:
                records.append(record)
                positions.append(position)
                unleveled += record.is_unleveled
                if finds_out:
                    found[record.kind] += 1
                continue
        malformed.append(Malformed(block.node, position, block.arrived_ns, line, reason, is_torn))
    return Batch(block, records, positions, malformed, found=found, unleveled=unleveled)


def _overlong(block: Block) -> str:
    return (
        f"it has {block.overlong:,} bytes, and {LINE_BYTES:,} is the most that is read as a record: this is its "
        f"beginning, and all of it stands in the node's log"
    )


def rendered(record: Record) -> str:
    """Show a record in one line: its time, its severity, what it says, and its fields. Never raises."""
    time = record.time
    parts = [time.isoformat(sep=" ", timespec="milliseconds")] if time is not None else []
    if record.severity_text:
        parts.append(record.severity_text)
    try:
        fields = {name: _shown(value) for name, value in record.fields.items()}
    except (ValueError, RecursionError):
        return " ".join((*parts, record.text, "(its fields can't be read)"))
    text, used = filled_in(record.text, fields)
    parts.append(text)
    parts += (f"{name}={value}" for name, value in fields.items() if name not in used)
    return " ".join(parts)


def _shown(value: object) -> str:
    if isinstance(value, str) and value and not set(value) & set(' "=\n'):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()
