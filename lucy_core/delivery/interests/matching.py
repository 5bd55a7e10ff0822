"""Which records are of which of the wanted types. Sans-IO."""

from collections.abc import Iterable, Iterator
from typing import Any, final

import msgspec

from lucy_core.capturing import searching
from lucy_core.capturing.searching import Search
from lucy_core.delivery.scanning import can_search, stands_behind
from lucy_core.formats.contract import Batch, Format, Needles
from lucy_core.records.colours import ESCAPE
from lucy_core.records.event import TEXT_IN_NUMBERS, EventType
from lucy_core.records.record import Record

_ESCAPED = b"\\u00"
"""What a line has that spells letters by their numbers, as JSON may: then it counts as it is spelt."""
_VEILS = (ESCAPE, TEXT_IN_NUMBERS)
"""What a line has whose bytes may mean what they don't spell."""
_TEXTS = 1024
"""Of how many texts is remembered what they mean: templates and fixed texts recur, and what is filled in doesn't."""
_TEXT_LENGTH = 200
"""How long a text may be that is remembered."""

Kinds = list[EventType[Any]]


@final
class Matcher:
    """Types that are wanted of the lines of one format."""

    __slots__ = ("_by", "_by_fields", "_by_id", "_by_text", "_texts", "kinds", "log_format", "needles")

    def __init__(
        self,
        kinds: Iterable[EventType[Any]],
        log_format: Format,
        *,
        as_they_stand: bool = False,
        by: Search | None = None,
    ) -> None:
        """Compile them.

        Args:
            kinds: the types.
            log_format: in which lines are read.
            as_they_stand: whether lines are searched for that only have the types' bytes, wherever these stand: of a
                line that can't be read, nobody knows what stands behind a key.
            by: how bytes are searched; as in this process unless it is given.
        """
        self._by = searching.chosen() if by is None else by
        self.kinds = tuple(kinds)
        self.log_format = log_format
        self._by_id: dict[str | None, Kinds] = {}
        self._by_text: Kinds = []
        """Types that a text may mean."""
        self._texts: dict[str, Kinds] = {}
        """What texts mean that were met, as far as they are remembered."""
        self._by_fields: Kinds = []
        """Types that fields may mean, for which each record has to be asked."""
        slow = 0
        for kind in self.kinds:
            for event_id in kind.ids:
                self._by_id.setdefault(event_id, []).append(kind)
            if kind.is_of_text:
                self._by_text.append(kind)
            if kind.fields:
                self._by_fields.append(kind)
            # An envelope's text is looked up for next to nothing.
            slow += bool(kind.patterns or kind.templates or kind.fields or (kind.messages and not log_format.id_key))
        needles = _of_any_line(self.kinds, log_format) if as_they_stand else log_format.needles(self.kinds)
        self.needles = needles if can_search(needles, by_text=slow) else None
        """What to search for; None where every line has to be read."""

    def found(self, batch: Batch) -> Iterable[tuple[int, Record, Kinds]]:
        """Give each record that may be of some of the types, with its index in the batch and those that it is of.

        What isn't wanted costs a look at its id, and at its text where texts count.
        """
        return self._found_by_all(batch) if self._by_text or self._by_fields else self._found_by_id(batch)

    def _found_by_all(self, batch: Batch) -> Iterator[tuple[int, Record, Kinds]]:
        by_id, by_text, at, texts = self._by_id, self._by_text, batch.at, self._texts
        by_fields = [kind for kind in self._by_fields if self._may_have(batch, kind)]
        hides: bool | None = None
        meant: Kinds = []
        spelt: Kinds = []
        for index, record in enumerate(batch.records):
            kinds = by_id.get(record.id)
            if by_text:
                text = record.text
                meant = known if (known := texts.get(text)) is not None else self._meant_by(text)
            if by_fields:
                raw = at(index).raw
                spelt = [kind for kind in by_fields if kind.is_spelt(raw)]
            if kinds or meant or spelt:
                whole = at(index)
                if hides is None:
                    hides = self._has_any(batch.bytes_read, _ESCAPED)
                if hides or meant or spelt or not kinds:
                    kinds = self._kinds(whole, meant, spelt, hides=hides)
                yield index, whole, kinds

    def _found_by_id(self, batch: Batch) -> list[tuple[int, Record, Kinds]]:
        by_id, at, records = self._by_id.get, batch.at, batch.records
        found = [(index, at(index), kinds) for index, record in enumerate(records) if (kinds := by_id(record.id))]
        if found and self._has_any(batch.bytes_read, _ESCAPED):
            return [(index, record, self._kinds(record, [], [], hides=True)) for index, record, _ in found]
        return found

    def _may_have(self, batch: Batch, kind: EventType[Any]) -> bool:
        """Tell whether a line of a batch may be spelt as one of this type, so that each is to be asked."""
        return kind.needles is None or self._has_any(batch.bytes_read, *kind.needles, *_VEILS)

    def _has_any(self, data: bytes, *texts: bytes) -> bool:
        find = self._by.find
        return any(find(data, text, 0, len(data)) >= 0 for text in texts)

    def count(self, batch: Batch) -> int:
        """Count how often a record of a batch is of one of the types."""
        return sum(len(kinds) for _, _, kinds in self.found(batch))

    def _meant_by(self, text: str) -> Kinds:
        """Return the types that a text means, if nothing else of its line speaks against it."""
        found = [kind for kind in self._by_text if kind.fits(text)]
        if len(self._texts) >= _TEXTS:
            self._texts.clear()
        if len(text) <= _TEXT_LENGTH:
            self._texts[text] = found
        return found

    def _kinds(self, record: Record, meant: Kinds, spelt: Kinds, *, hides: bool) -> Kinds:
        """Return the types that a record is of, each once, if what makes it one is spelt, as a search wants it.

        Args:
            record: whose types.
            meant: the types that its text means.
            spelt: the types for whose fields it may have the values.
            hides: whether it may spell letters by their numbers.
        """
        raw, event_id, key = record.raw, record.id, self.log_format.id_key
        if hides and key and event_id is not None and not stands_behind(raw, key, event_id):
            event_id = None
        found = [kind for kind in self._by_id.get(event_id, ()) if not hides or kind.is_spelt(raw)]
        for kind in meant:
            # A text may have been put together, as journald's is, which are bytes by their numbers; not so where lines
            # have ids behind a key, whose texts stand there as they are unless letters are hidden.
            is_new = event_id not in kind.ids and (event_id is not None or not kind.message_needs_id)
            if is_new and ((key and not hides) or kind.is_spelt(raw)):
                found.append(kind)
        found += (kind for kind in spelt if kind not in found and kind.means(record))
        return found


def _of_any_line(kinds: tuple[EventType[Any], ...], log_format: Format) -> Needles | None:
    """Return what each line has that is spelt as one of these types (`EventType.is_spelt`), can it be read or not."""
    needles = log_format.literals(kinds)
    if needles is None:
        return None
    literals = {*needles.literals, *(TEXT_IN_NUMBERS for kind in kinds if kind.is_of_text)}
    return msgspec.structs.replace(needles, literals=tuple(sorted(literals)), may_be_coloured=True)
