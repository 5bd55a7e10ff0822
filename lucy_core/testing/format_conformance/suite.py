"""The promises of a format, a test each."""

import codecs
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from lucy_core.delivery.scanning import search
from lucy_core.formats.contract import Format, Needles, read_by_line
from lucy_core.recording.rows import Window
from lucy_core.records.colours import uncoloured
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity
from lucy_core.testing.format_conformance.material import (
    FIRST,
    HOSTILE,
    Seen,
    block_of,
    broken,
    cut_blocks,
    kinds_of,
    said,
    seen,
)


class FormatConformance:
    """Everything that a format has to hold. Subclass it, and set `log_format` and `lines`."""

    log_format: ClassVar[Format]
    """The format under test."""
    lines: ClassVar[Sequence[bytes]]
    """Lines of the format as software writes them, without newlines: three or more, each kind that there is."""
    rounds: ClassVar[int] = 40
    """How often what is left to chance is tried."""

    @pytest.fixture
    def samples(self) -> list[bytes]:
        """The author's lines."""
        for name in ("log_format", "lines"):
            if not hasattr(self, name):
                pytest.fail(f"{type(self).__name__} must set `{name}`", pytrace=False)
        return list(self.lines)

    @pytest.fixture
    def all_lines(self, samples: list[bytes]) -> list[bytes]:
        """The author's lines among hostile ones, some of them made of the author's."""
        chance = random.Random(1)  # noqa: S311  # the same each time
        lines = [*samples, *HOSTILE, *broken(samples, chance, 10 * self.rounds)]
        chance.shuffle(lines)
        return lines

    def test_each_of_the_authors_lines_is_a_record(self, samples: list[bytes]) -> None:
        assert len(samples) >= 3
        found = seen(self.log_format.read_block(block_of(samples)))
        assert [(each.raw, each.reason) for each in found if each.reason] == []
        assert [each.raw for each in found] == samples

    def test_reading_a_block_gives_what_reading_each_line_gives(
        self, samples: list[bytes], all_lines: list[bytes]
    ) -> None:
        for lines in (samples, samples * 3, all_lines, *([line] for line in all_lines)):
            block = block_of(lines)
            assert seen(self.log_format.read_block(block)) == seen(read_by_line(block, self.log_format))

    def test_any_chunking_of_the_same_bytes_gives_the_same(self, samples: list[bytes], all_lines: list[bytes]) -> None:
        for lines in (samples, all_lines):
            whole = seen(self.log_format.read_block(block_of(lines)))
            for turn in range(self.rounds):
                chance = random.Random(turn)  # noqa: S311  # as above
                cut = seen(*(self.log_format.read_block(block) for block in cut_blocks(lines, chance)))
                assert cut == whole, f"cut by chance number {turn}"

    def test_each_line_is_there_once_and_in_its_place(self, all_lines: list[bytes]) -> None:
        batch = self.log_format.read_block(block_of(all_lines))
        assert list(batch.positions) == sorted(set(batch.positions))
        found = seen(batch)
        assert [each.position for each in found] == list(range(FIRST, FIRST + len(all_lines)))
        assert [each.raw for each in found] == all_lines

    def test_a_line_says_the_same_whatever_was_read_before(self, samples: list[bytes], all_lines: list[bytes]) -> None:
        fresh = self._made_again()
        before = [self._said(fresh, line) for line in samples]
        for line in reversed(all_lines):
            self._said(fresh, line)
        assert [self._said(fresh, line) for line in samples] == before
        assert [self._said(self.log_format, line) for line in samples] == before

    def test_a_torn_end_costs_itself_alone(self, samples: list[bytes]) -> None:
        whole = seen(self.log_format.read_block(block_of(samples)))
        last = samples[-1]
        for size in {1, len(last) // 2, len(last) - 1, len(last)} - {0}:
            found = seen(self.log_format.read_block(block_of([*samples, last[:size]], torn=True)))
            assert found[:-1] == whole
            assert (found[-1].raw, bool(found[-1].reason)) == (last[:size], True)

    def test_a_carriage_return_or_a_byte_order_mark_changes_nothing_but_the_bytes(self, samples: list[bytes]) -> None:
        plain = seen(self.log_format.read_block(block_of(samples)))
        for before, after in ((b"", b"\r"), (codecs.BOM_UTF8, b"")):
            lines = [before + line + after for line in samples]
            found = seen(self.log_format.read_block(block_of(lines)))
            assert [each.raw for each in found] == lines
            assert [each.said for each in found] == [each.said for each in plain]

    def test_a_blank_line_is_a_plain_one_that_goes_on(self, samples: list[bytes]) -> None:
        batch = self.log_format.read_block(block_of([samples[0], b"", b" \t", samples[0]]))
        assert list(batch.positions) == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
        assert [batch.at(index).continues for index in (1, 2)] == [True, True]

    def test_whatever_a_line_says_a_record_can_be_asked(self, all_lines: list[bytes]) -> None:
        batch = self.log_format.read_block(block_of(all_lines))
        for index in range(len(batch.records)):
            record = batch.at(index)
            assert isinstance(record.text, str)
            assert isinstance(record.severity, Severity)
            assert isinstance(record.severity_text, str)
            assert isinstance(record.kind, str)
            assert record.id is None or isinstance(record.id, str)
            assert record.time is None or record.time.tzinfo is not None
            said(record)

    def test_an_unknown_severity_is_unspecified_and_counted(self, samples: list[bytes], all_lines: list[bytes]) -> None:
        for lines in (samples, all_lines):
            batch = self.log_format.read_block(block_of(lines))
            records = [batch.at(index) for index in range(len(batch.records))]
            assert batch.unleveled == sum(record.is_unleveled for record in records)
            assert not any(record.severity and record.is_unleveled for record in records)

    def test_what_it_found_is_counted_where_it_finds_out(self, samples: list[bytes], all_lines: list[bytes]) -> None:
        for lines in (samples, all_lines):
            batch = self.log_format.read_block(block_of(lines))
            kinds = Counter(record.kind for record in batch.records)
            assert dict(batch.found) == (kinds if self.log_format.finds_out else {})

    def test_every_record_can_be_shown(self, all_lines: list[bytes]) -> None:
        batch = self.log_format.read_block(block_of(all_lines))
        for index in range(len(batch.records)):
            assert isinstance(self.log_format.render(batch.at(index)), str)

    def test_a_search_misses_no_wanted_line(self, samples: list[bytes], all_lines: list[bytes]) -> None:
        """An event counts as it is spelt: what stands in escapes, such as a quote, is nobody's needle."""
        records = self._records(samples)
        checked = 0
        for record in records:
            for what, kind in kinds_of(record):
                needles = self.log_format.needles((kind,))
                if not kind.means(record):
                    assert what in {"message", "template"}, f"{what} doesn't mean {record.raw!r}"
                    continue
                assert kind.is_spelt(record.raw) or b"\\" in record.raw, (
                    f"{what}: {kind.needles} is not in {record.raw!r}"
                )
                if needles is None:
                    continue
                checked += 1
                for other in records:
                    if kind.means(other) and kind.is_spelt(other.raw):
                        assert _is_found(needles, other.raw), f"{what}: {needles} is not in {other.raw!r}"
                self._holds_the_search(kind, needles, all_lines)
        assert checked

    def _holds_the_search(self, kind: Any, needles: Needles, lines: list[bytes]) -> None:
        block = block_of(lines)
        searched = search(Window.over(block), needles, self.log_format)
        read = self.log_format.read_block(block)
        wanted, got = (
            {
                Seen(position, batch.at(index).raw)
                for index, position in enumerate(batch.positions)
                if kind.means(batch.records[index]) and kind.is_spelt(batch.at(index).raw)
            }
            for batch in (read, searched)
        )
        assert got == wanted

    def test_some_lines_of_a_block_are_read_as_all_are(self, all_lines: list[bytes]) -> None:
        block = block_of(all_lines)
        every = seen(self.log_format.read_block(block))
        for step in (1, 3):
            places = [block.position + place for place in range(0, len(all_lines), step)]
            assert seen(self.log_format.read_lines(block, places, all_lines[::step])) == every[::step]

    def test_its_options_make_it_again(self, samples: list[bytes]) -> None:
        written = msgspec.json.decode(msgspec.json.encode(dict(self.log_format.options)))
        again = type(self.log_format)(**written)
        assert again.name == self.log_format.name
        assert dict(again.options) == dict(self.log_format.options)
        assert [self._said(again, line) for line in samples] == [self._said(self.log_format, line) for line in samples]

    def _made_again(self) -> Format:
        return type(self.log_format)(**self.log_format.options)

    def _records(self, lines: Sequence[bytes]) -> list[Record]:
        batch = self.log_format.read_block(block_of(lines))
        return [batch.at(index) for index in range(len(batch.records))]

    def _said(self, log_format: Format, line: bytes) -> Any:
        return seen(log_format.read_block(block_of([line])))


def _is_found(needles: Needles, raw: bytes) -> bool:
    if needles.key and needles.key in raw:
        return True
    return any(literal in uncoloured(raw) for literal in needles.literals)  # a block with colours is read whole
