"""Fuzz: what reads bytes from strangers, against slow and simple versions of itself.

A small dose in the gate, the same at every run. LUCY_FUZZ_EXAMPLES=100000 gives a large one, and other bytes each time.
"""

import codecs
import json
import operator
import os
import re

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucy_core.capturing.framing import Framer
from lucy_core.capturing.tagged import SHARED, Demultiplexer, tag_line
from lucy_core.filters.logproc import SEVERITIES, Filter
from lucy_core.formats.contract import Format
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.records.record import Block, Record

WANTED = os.environ.get("LUCY_FUZZ_EXAMPLES")
fuzz = settings(
    settings.get_profile("dev" if WANTED else "ci"),
    max_examples=int(WANTED or 150),
    suppress_health_check=[HealthCheck.too_slow],
)

# --- framing --------------------------------------------------------------------------------------------------------

few_bytes = st.binary(max_size=30) | st.lists(st.sampled_from((b"\n", b"a", b"\r", b"\0", b"xyz\n")), max_size=9).map(
    b"".join
)


@fuzz
@given(st.lists(st.tuples(few_bytes, st.booleans()), max_size=20))
def test_a_framer_cuts_where_a_newline_is_and_where_a_writer_ends(steps: list[tuple[bytes, bool]]) -> None:
    framer = Framer()
    got: list[bytes] = []
    due: list[bytes] = []
    rest = b""
    for chunk, writer_ends in steps:
        block = b"".join(framer.feed(chunk))
        *lines, rest = (rest + chunk).split(b"\n")
        due += [line + b"\n" for line in lines]
        assert block == b"".join(due[len(due) - len(lines) :])
        got.append(block)
        assert framer.pending == len(rest)
        if writer_ends:
            got.append(framer.flush())
            due.append(rest)
            rest = b""
    assert b"".join(got) == b"".join(due)
    assert framer.flush() == rest


# --- decoding -------------------------------------------------------------------------------------------------------

NASTY = (
    b"",
    b" ",
    b"\t{}",
    b"{}",
    b'{"message":""}',
    b'{"message":"a"}{"message":"b"}',
    b'{"message":"a"} {"message":"b"}',
    b'{"message":"}\\n{"}',
    b'{"message":"cut',
    b'"}',
    b'{"message":"a","level":null}',
    b'{"message":"a","message":"b"}',
    b'{"message":"\xff\xfe"}',
    b'{"message":"\\ud800"}',
    b'{"message":"\0"}',
    b"\xef\xbb\xbf{}",
    b'{"message":"a","n":1e999}',
    b'{"message":"a","n":' + b"9" * 400 + b"}",
    b'{"message":"a","metadata":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"message":"a","metadata":' + b'{"a":' * 2000,
    b"[]",
    b"null",
    b"NaN",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {"message": st.text(max_size=8)},
    optional={
        "timestamp": st.text(max_size=8),
        "level": st.sampled_from(("Info", "Warn", "odd")) | json_values,
        "metadata": json_values,
        "source": json_values,
        "event_id": st.text(max_size=8) | json_values,
        "more": json_values,
    },
).map(lambda record: json.dumps(record).encode())

sound_records = st.fixed_dictionaries(
    {"message": st.text(max_size=8)},
    optional={"level": st.sampled_from(("Info", "Warn")), "metadata": json_values, "event_id": st.text(max_size=8)},
).map(lambda record: json.dumps(record).encode())


@st.composite
def lines_of_a_block(draw: st.DrawFn) -> list[bytes]:
    # Half the blocks begin sound: one bad line sends all of a block the slow way.
    kinds = sound_records if draw(st.booleans()) else sound_records | records | st.sampled_from(NASTY)
    lines = draw(st.lists(kinds, min_size=1, max_size=8))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        match draw(st.sampled_from(("cut", "flip", "drop", "insert", "join", "split", "shift", "shift"))):
            case "cut":
                lines[at] = line[:cut]
            case "flip" if cut < len(line):
                lines[at] = line[:cut] + bytes((draw(st.integers(0, 255)),)) + line[cut + 1 :]
            case "drop":
                lines[at] = line[:cut] + line[cut + 1 :]
            case "insert":
                lines[at] = line[:cut] + draw(st.binary(max_size=3)) + line[cut:]
            case "join" if len(lines) > 1:
                lines[at : at + 2] = [b"".join(lines[at : at + 2])]
            case "split":
                lines[at : at + 1] = [line[:cut], line[cut:]]
            case "shift" if len(lines) > 1:
                # A newline at another place between two tokens: as many documents as lines, and none of them on one.
                text = b"".join(lines[at : at + 2])
                places = [index + 1 for index, byte in enumerate(text) if byte in b":,{}"] or [0]
                place = draw(st.sampled_from(places))
                lines[at : at + 2] = [text[:place], text[place:]]
            case _:
                pass
    return b"\n".join(lines).split(b"\n")


FORMAT: Format = EnvelopeFormat()


def read_alone(line: bytes) -> Record | None:
    batch = FORMAT.read_block(Block("a", 0, 0, 1, 0, line + b"\n"))
    return batch.at(0) if batch.records else None


@fuzz
@given(lines_of_a_block(), st.booleans(), st.integers(0, 2**40))
def test_a_block_gives_what_its_lines_would_give_each_alone(lines: list[bytes], torn: bool, position: int) -> None:
    torn = torn and bool(lines[-1])
    data = b"\n".join(lines) + (b"" if torn else b"\n")
    batch = FORMAT.read_block(Block("a", position, 0, len(lines), 0, data, torn))
    places = batch.positions or range(position, position + len(batch.records))
    found = {place: batch.at(index) for index, place in enumerate(places)}
    bad = {each.position: each for each in batch.malformed}
    assert len(found) == len(batch.records)
    assert not found.keys() & bad.keys()
    assert found.keys() | bad.keys() == set(range(position, position + len(lines)))
    for place, line in enumerate(lines, position):
        alone = None if torn and place == position + len(lines) - 1 else read_alone(line)
        if alone is None:
            assert bad[place].raw == line
            assert bad[place].reason
        else:
            assert flat(found[place]) == flat(alone)
            assert found[place].raw == line.removeprefix(codecs.BOM_UTF8)


def flat(record: Record) -> list[object]:
    fields = [getattr(record, name) for name in record.__struct_fields__]
    return [bytes(field) if isinstance(field, msgspec.Raw) else field for field in fields]


# --- logproc --------------------------------------------------------------------------------------------------------

ABSENT = object()
KEYS = ("level", "message", "n", "a b", "metadata")
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from((0.5, 1.0, "", "Warn", "x", 'q"\\/\n', "ü"))
records_to_filter = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=4,
)
blanks = st.sampled_from(("", " ", "\t", "\n "))
paths = st.tuples(
    st.sampled_from(KEYS), st.lists(st.sampled_from(KEYS) | st.integers(0, 1), max_size=2).map(tuple)
).map(lambda pair: (pair[0], *pair[1]))


def written_path(path: tuple[str | int, ...], style: int) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif " " in step or (style and text):
            text += f"[{json.dumps(step)}]" if text and style != 2 else f".[{json.dumps(step)}]"
        else:
            text += f".{step}"
    return text


def looked_up(record: object, path: tuple[str | int, ...]) -> object:
    for step in path:
        match record:
            case dict() if step in record:
                record = record[step]
            case list() if isinstance(step, int) and step < len(record):
                record = record[step]
            case _:
                return ABSENT
    return record


def typed(value: object) -> object:
    """A value in which 1, 1.0 and True are three things."""
    match value:
        case dict():
            return {key: typed(each) for key, each in value.items()}
        case list():
            return [typed(each) for each in value]
        case _:
            return type(value).__name__, value


ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def compared(first: object, sign: str, second: object, *, literal: object = ABSENT) -> bool:
    if first is ABSENT or second is ABSENT:
        return False
    match sign:
        case "==":
            return typed(first) == typed(second)
        case "!=":
            return typed(first) != typed(second)
        case "in":
            return isinstance(second, list) and typed(first) in [typed(each) for each in second]
        case _:
            if isinstance(literal, str) and literal in SEVERITIES:
                both = isinstance(first, str) and isinstance(second, str)
                return (
                    both
                    and {first, second} <= SEVERITIES.keys()
                    and ORDERS[sign](SEVERITIES[first], SEVERITIES[second])
                )
            strings = isinstance(first, str) and isinstance(second, str)
            numbers = all(type(each) in (int, float) for each in (first, second))
            return (strings or numbers) and ORDERS[sign](first, second)


@st.composite
def filters(draw: st.DrawFn, depth: int = 2):
    """A filter as text, and what it means as a function; "and" and "or" bare as often as in brackets."""
    gap = draw(blanks)
    kind = draw(
        st.sampled_from(("compare", "exists", "match") if not depth else ("compare", "not", "and", "or", "bracket"))
    )
    if kind == "compare":
        path, sign = draw(paths), draw(st.sampled_from(("==", "!=", "<", "<=", ">", ">=", "in")))
        left = written_path(path, draw(st.integers(0, 2)))
        if draw(st.booleans()):
            other = draw(paths)
            text = f"{left} {sign}{gap} {written_path(other, 1)}"
            return "cmp", text, lambda record: compared(looked_up(record, path), sign, looked_up(record, other))
        value = draw(st.lists(scalars, max_size=3) if sign == "in" else scalars)
        written = json.dumps(value, ensure_ascii=draw(st.booleans()))
        return (
            "cmp",
            f"{left}{gap} {sign} {written}",
            lambda record: compared(looked_up(record, path), sign, value, literal=value),
        )
    if kind == "exists":
        path = draw(paths)
        text = written_path(path, 0)
        return "cmp", text, lambda record: not any(looked_up(record, path) is each for each in (ABSENT, None, False))
    if kind == "match":
        path = draw(paths)
        pattern = draw(st.sampled_from(("x", "^$", "W|x", "[a-z]r", "/", r"\\")))
        text = f"{written_path(path, 0)} match{gap} /{pattern.replace('/', chr(92) + '/')}/"

        def matches(record: object) -> bool:
            value = looked_up(record, path)
            return isinstance(value, str) and re.search(pattern, value) is not None

        return "cmp", text, matches
    _, inner, meaning = draw(filters(depth=depth - 1))
    if kind == "bracket":
        return "cmp", f"({gap}{inner}{gap})", meaning
    if kind == "not":
        return "cmp", f"!({inner})", lambda record: not meaning(record)
    parts = [(inner, meaning)]
    for _ in range(draw(st.integers(1, 2))):
        _, more, means = draw(filters(depth=depth - 1))
        parts.append((more, means))
    # In brackets, for what "&&" and "||" bind is the next test's matter.
    sign, join = ("&&", all) if kind == "and" else ("||", any)
    text = f"{gap}{sign}{gap}".join(f"({part})" for part, _ in parts)
    return kind, text, lambda record: join(means(record) for _, means in parts)


@fuzz
@given(filters(), st.lists(records_to_filter, max_size=4))
def test_a_filter_means_what_it_was_written_for(made, found: list[dict[str, object]]) -> None:
    _, text, meaning = made
    parsed = Filter(text)
    for record in found:
        assert parsed.matches(record) is meaning(record), (text, record)
        assert parsed.keeps(json.dumps(record)) is meaning(record)


@fuzz
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_and_binds_tighter_than_or(chain: list[tuple[bool, bool]]) -> None:
    words = [word for value, is_and in chain for word in (str(value).lower(), "&&" if is_and else "||")][:-1]
    meant = " ".join(words).replace("&&", "and").replace("||", "or").replace("true", "True").replace("false", "False")
    assert Filter(" ".join(words)).matches({}) is eval(meant)


# --- tagged ---------------------------------------------------------------------------------------------------------

payloads = (st.binary(max_size=12) | st.sampled_from((b"\x1e", b"\x1ea:1:", b"\r", b'{"message":"m"}', b"y" * 50))).map(
    lambda payload: payload.replace(b"\n", b"")
)


@st.composite
def shared_pipes(draw: st.DrawFn):
    """What writers put into a shared pipe, in the pieces and the order in which it came: (node, number, bytes)."""
    pieces: dict[str, list[tuple[str, int, bytes]]] = {}
    texts: dict[tuple[str, int], bytes] = {}
    for node in ("a", "b", "c"):
        pieces[node] = []
        count = draw(st.integers(0, 4))
        for number in range(1, count + 1):
            text = texts[node, number] = draw(payloads) + b"\n"
            frame = tag_line(node, number, text)
            for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
                cuts = sorted(draw(st.lists(st.integers(1, len(frame) - 1), max_size=2, unique=True)))
                for start, stop in zip([0, *cuts], [*cuts, len(frame)], strict=True):
                    pieces[node].append((node, number, frame[start:stop]))
    order: list[tuple[str, int, bytes]] = []
    while any(pieces.values()):
        node = draw(st.sampled_from([node for node, left in pieces.items() if left]))
        order.append(pieces[node].pop(0))
    return order, texts


def whole_lines(stream: bytes, texts: dict[tuple[str, int], bytes]) -> list[tuple[str, int]]:
    """Which lines stand in the stream unbroken, in its order, whoever's bytes they are made of."""
    frames = {key: re.escape(tag_line(*key, text)) for key, text in texts.items()}
    return [
        key
        for _, key in sorted(
            (found.start(), key) for key, frame in frames.items() for found in re.finditer(frame, stream)
        )
    ]


@fuzz
@given(shared_pipes(), st.data())
def test_of_a_shared_pipe_exactly_the_unbroken_lines_come_out(pipe, data: st.DataObject) -> None:
    order, texts = pipe
    stream = b"".join(piece for _, _, piece in order)
    due = whole_lines(stream, texts)
    last = {node: max((number for each, number in texts if each == node), default=0) + 1 for node in "abc"}
    stream += b"".join(tag_line(node, number, b"last\n") for node, number in last.items())
    demultiplexer, framer, pieces = Demultiplexer("abc"), Framer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        block = b"".join(framer.feed(stream[:size]))
        stream = stream[size:]
        pieces += demultiplexer.feed(block) if block else []
    for node in "abc":
        mine = [piece for piece in pieces if piece.node == node]
        numbers = list(dict.fromkeys(number for each, number in due if each == node))
        got = b"".join(piece.data for piece in mine)
        assert got == b"".join(texts[node, number] for number in numbers) + b"last\n"
        assert sum(piece.lost for piece in mine) == last[node] - 1 - len(numbers)
        assert sum(piece.duplicates for piece in mine) == sum(each == node for each, _ in due) - len(numbers)
    debris = sum(len(piece.data) for piece in pieces if piece.node == SHARED)
    assert bool(debris) >= (len(due) < len({(node, number) for node, number, _ in order}))
