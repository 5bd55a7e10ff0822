r"""The logproc language, as Mina's log processor has it, and what that lacks. Parsed and evaluated. Sans-IO.

::

    filter     = [ or ]                                     nothing keeps everything
    or         = and { "||" and }                           "&&" binds tighter, and both may be chained
    and        = operand { "&&" operand }
    operand    = "!" or | "(" or ")" | comparison
    comparison = value [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in") value | "match" regex ]
    value      = [ word | literal | list ] { access }       nothing before an access is the record
    access     = "." ident | "." "[" string "]" | "[" string "]" | "[" digits "]"
    literal    = "true" | "false" | "null" | number | string
    list       = "[" [ value { "," value } ] "]"
    string     = '"' characters with JSON's escapes '"'
    regex      = "/" characters; a slash is "\/" "/"

Each filter that upstream's parser takes is taken, with its meaning, so `!` still negates all that follows up to the
closing bracket: `!.a == 1 && .b == 2` is `!(.a == 1 && .b == 2)`. Likewise a comparison with something absent is false,
whatever its operator; that it is absent says `!(.a)`, for a value alone asks whether it is there, and not null or
false. Equality is strict about types (1 is not 1.0), order is not.

New are precedence, chains, order, null, negative and broken numbers, decoded escapes, any blanks, and words: `level`
for `.level` on the left, and a level without quotes, as in `level >= Warn`, for which `Warn` alone will do. A level is
compared by its severity, in any spelling; one that nobody knows is neither less nor more than any. `["level"] ==
"Info"`, which upstream documents and never matches, asks for the field wherever it could not match as a list.

A regular expression takes time that grows with the text and no faster, as upstream's do (`expressions`): one that looks
ahead or behind, or back at a group, is refused. A search that takes too much work all the same is given up with a
`SearchLimitError`, after about a second.

For Python 3.7 and later with the standard library alone: a container's supervisor carries it too, to leave out lines
before they are written.
"""

# `list[int]` is news to old interpreters: they must not look at it.
from __future__ import annotations

import json
import re
import warnings
from typing import Any, Callable, NamedTuple

from lucy_core.filters.expressions import Expression, ExpressionError, SearchLimitError
from lucy_core.records.severity import WORDS

_RANKS = dict(WORDS, internal=0.2, spam=0.4, faulty_peer=18)  # type: dict[str, float]
SEVERITIES = {spelling: rank for word, rank in _RANKS.items() for spelling in (word, word.capitalize(), word.upper())}
"""The words for levels, as software spells them, in order: Mina's too, of which two are less than a trace."""
SEVERITY = object()
"""The key, which no line can have, under which a record may say how much it matters, by what its format means."""
WORD = object()
"""The key under which such a record has the word, or number, that it says that by, as text."""
DEPTH = 100
"""How deep brackets and negations may nest: beyond it, people don't read and interpreters don't recurse."""
DIGITS = 100
"""How long a number may be: interpreters read much longer ones slowly, or not at all."""

Test = Callable[[Any], bool]
Evaluation = Callable[[Any], Any]
ABSENT = object()
"""What a value is that isn't there."""


class FilterSyntaxError(ValueError):
    """A filter is not of the language.

    Attributes:
        text: the filter.
        column: where it goes wrong, from 1.
        problem: what was expected and what was found.
    """

    def __init__(self, text: str, column: int, problem: str) -> None:
        self.text = text
        self.column = column
        self.problem = problem
        line = text.replace("\n", " ").replace("\t", " ")
        super().__init__("column {}: {}\n    {}\n    {}^".format(column, problem, line, " " * (column - 1)))


class Value(NamedTuple):
    """An operand: a literal, a list of operands, or (`root` absent) the record; then a path into it."""

    root: Any
    path: tuple[str | int, ...]
    is_list: bool = False

    @property
    def is_literal(self) -> bool:
        """Whether it is one JSON value, and no list."""
        return self.root is not ABSENT and not self.is_list and not self.path


class Comparison(NamedTuple):
    """Two values and an operator; `exists` and `match` have no second value, but the latter a regex."""

    operator: str
    left: Value
    right: Any


class Not(NamedTuple):
    """The opposite."""

    operand: Any


class AnyOf(NamedTuple):
    """At least one of several, asked in order."""

    operands: tuple[Any, ...]


class AllOf(NamedTuple):
    """Each of several, asked in order."""

    operands: tuple[Any, ...]


class Filter:
    """A parsed filter. Ask it about decoded records or raw lines.

    Attributes:
        text: what it was parsed from.
        fields: the record's own fields that it looks at.
    """

    def __init__(self, text: str) -> None:
        """Parse a filter.

        Raises:
            FilterSyntaxError: it is not of the language; says where and what was expected.
        """
        self.text = text
        parser = _Parser(text)
        self.tree = parser.parse()
        self.fields = frozenset(parser.fields)
        self.matches = _compile(self.tree)  # type: Test
        """Whether it holds for a record, given as the dict that its line decodes to. Raises SearchLimitError."""

    def __repr__(self) -> str:
        return "Filter({!r})".format(self.text)

    def keeps(self, line: bytes | str) -> bool:
        """Tell whether a raw line passes. What it can't judge does: what is no JSON object, or takes too much work."""
        try:
            record = json.loads(line)
            return not isinstance(record, dict) or self.matches(record)
        except (ValueError, RecursionError, SearchLimitError):
            return True


# --- text to tree ---------------------------------------------------------------------------------------------------

_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"([^"\\\n]|\\.)*"')
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/", re.DOTALL)
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>|(?:in|match)\b")
_CONSTANTS = {"true": True, "false": False, "null": None}
_KEYWORDS = ("in", "match")
_OPERATORS = "==, !=, <, <=, >, >=, in or match"


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.fields = set()  # type: set[str]

    def parse(self) -> Any:
        self.blanks()
        if self.at == len(self.text):
            return AllOf(())
        tree = self.either()
        if self.at < len(self.text):
            raise self.wrong("&&, || or the end")
        return tree

    def wrong(self, expected: str, at: int | None = None) -> FilterSyntaxError:
        at = self.at if at is None else at
        found = repr(self.text[at : at + 12]) if at < len(self.text) else "the end"
        return FilterSyntaxError(self.text, at + 1, "expected {}, found {}".format(expected, found))

    def blanks(self) -> None:
        self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # it always matches

    def take(self, token: str) -> bool:
        """Pass over a token and the blanks after it, if it is there."""
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        self.blanks()
        return True

    def either(self) -> Any:
        return self.chain("||", lambda: self.chain("&&", self.operand, AllOf), AnyOf)

    def chain(self, operator: str, part: Callable[[], Any], kind: Callable[[tuple[Any, ...]], Any]) -> Any:
        parts = [part()]
        while self.take(operator):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def operand(self) -> Any:
        if not self.text.startswith(("!", "("), self.at):
            return self.comparison()
        self.deeper()
        if self.take("!"):
            tree = Not(self.either())
        else:
            self.take("(")
            tree = self.either()
            if not self.take(")"):
                raise self.wrong("&&, || or )")
        self.depth -= 1
        return tree

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise self.wrong("less than {} nested brackets and negations".format(DEPTH))

    def comparison(self) -> Any:
        left = self.value(word_is_field=True)
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            if left.is_literal and left.root in SEVERITIES:
                self.fields.add("level")
                return Comparison(">=", Value(ABSENT, ("level",)), left)
            over = self.at == len(self.text) or self.text.startswith(("&&", "||", ")"), self.at)
            if not over or (left.is_literal and not isinstance(left.root, bool)):
                raise self.wrong(_OPERATORS)
            return Comparison("exists", left, None)
        self.at = operator.end()
        self.blanks()
        if operator.group() == "match":
            return Comparison("match", self.as_field(left), self.regex())
        right = self.value(word_is_field=False)
        if right.is_literal or (operator.group() == "in" and right.is_list and not right.path):
            left = self.as_field(left)
        return Comparison(operator.group(), left, right)

    def as_field(self, left: Value) -> Value:
        """Read `["name"]` as the record's field, where it can't be meant as a list of one string."""
        if left.is_list and not left.path and len(left.root) == 1 and isinstance(left.root[0].root, str):
            name = left.root[0].root
            self.fields.add(name)
            return Value(ABSENT, (name,))
        return left

    def value(self, *, word_is_field: bool) -> Value:
        start = self.at
        root = ABSENT  # type: Any
        path = []  # type: list[str | int]
        is_list = False
        if self.text.startswith("[", self.at):
            root, is_list = self.items(), True
        elif self.text.startswith('"', self.at):
            root = self.string()
        elif _NUMBER.match(self.text, self.at):
            root = self.number()
        elif _WORD.match(self.text, self.at):
            word = self.word()
            if word in _CONSTANTS:
                root = _CONSTANTS[word]
            elif word in SEVERITIES and (not word_is_field or word[0].isupper()):
                root = word.capitalize()
            elif word_is_field and word not in _KEYWORDS:
                path.append(word)
            else:
                raise self.wrong("a value (a field starts with a dot, a string stands in quotes)", start)
        elif not self.text.startswith(".", self.at):
            raise self.wrong("a value")
        self.accesses(path)
        if is_list and path and isinstance(path[0], str) and len(root) == 1 and isinstance(root[0].root, str):
            # A list has no fields.
            path.insert(0, root[0].root)
            root, is_list = ABSENT, False
        if root is ABSENT:
            self.fields.add(str(path[0]))
        self.blanks()
        return Value(root, tuple(path), is_list)

    def accesses(self, path: list[str | int]) -> None:
        while self.at < len(self.text):
            if self.text[self.at] == ".":
                self.at += 1
                if self.text.startswith("[", self.at):
                    path.append(self.bracketed(self.string, "a string in quotes"))
                elif _WORD.match(self.text, self.at):
                    path.append(self.word())
                else:
                    raise self.wrong("a field's name, or its name in quotes and brackets")
            elif self.text[self.at] == "[":
                path.append(self.bracketed(self.key, "an index, or a field's name in quotes"))
            else:
                return

    def bracketed(self, part: Callable[[], Any], what: str) -> Any:
        self.take("[")
        start = self.at
        key = part()
        self.blanks()
        if not self.text.startswith("]", self.at):
            raise self.wrong("]")
        self.at += 1
        if isinstance(key, bool) or not isinstance(key, (str, int)) or (isinstance(key, int) and key < 0):
            raise self.wrong(what, start)
        return key

    def key(self) -> Any:
        if self.text.startswith('"', self.at):
            return self.string()
        if _NUMBER.match(self.text, self.at):
            return self.number()
        raise self.wrong("an index, or a field's name in quotes")

    def items(self) -> tuple[Value, ...]:
        self.deeper()
        self.take("[")
        found = []  # type: list[Value]
        while not self.text.startswith("]", self.at):
            found.append(self.value(word_is_field=False))
            if not self.take(","):
                break
        if not self.text.startswith("]", self.at) or self.text[: self.at].rstrip().endswith(","):
            raise self.wrong(", or ]" if found else "a value or ]")
        self.at += 1
        self.depth -= 1
        return tuple(found)

    def word(self) -> str:
        found = _WORD.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found.group() if found else ""

    def number(self) -> int | float:
        start = self.at
        found = _NUMBER.match(self.text, self.at)
        text = found.group() if found else ""
        self.at += len(text)
        if self.at < len(self.text) and _WORD.match(self.text, self.at):
            raise self.wrong("a number", start)
        if len(text) > DIGITS:
            raise self.wrong("a number of at most {} digits".format(DIGITS), start)
        return float(text) if set(text) & set(".eE") else int(text)

    def string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise self.wrong("a string with its closing quote")
        try:
            text = json.loads(found.group(), strict=False)  # type: str
        except ValueError:
            raise self.wrong("a string with JSON's escapes") from None
        self.at = found.end()
        return text

    def regex(self) -> Expression:
        found = _REGEX.match(self.text, self.at)
        if found is None:
            raise self.wrong("a regular expression between slashes")
        pattern = re.sub(r"\\(.)", lambda pair: "/" if pair.group(1) == "/" else pair.group(), found.group(1))
        try:
            with warnings.catch_warnings():
                # What only warns, as a class in brackets of another language, means something else there.
                warnings.simplefilter("error")
                compiled = Expression(pattern)
        except (re.error, ExpressionError, RecursionError, OverflowError, Warning) as error:
            raise self.wrong("a regular expression ({})".format(error)) from None
        self.at = found.end()
        self.blanks()
        return compiled


# --- tree to tests --------------------------------------------------------------------------------------------------


def _compile(tree: Any) -> Test:
    if isinstance(tree, Comparison):
        return _comparison(tree)
    if isinstance(tree, Not):
        operand = _compile(tree.operand)
        return lambda record: not operand(record)
    parts = [_compile(part) for part in tree.operands]
    if isinstance(tree, AnyOf):
        return lambda record: any(part(record) for part in parts)
    return lambda record: all(part(record) for part in parts)


def _comparison(tree: Comparison) -> Test:
    left = _value(tree.left)
    if tree.operator == "exists":
        return lambda record: _is_there(left(record))
    if tree.operator == "match":
        search = tree.right.search
        return lambda record: _matches(search, left(record))
    right = _value(tree.right)
    if tree.operator in _EQUALITIES:
        compare = _EQUALITIES[tree.operator]
    elif _is_level(tree.left) or _is_level(tree.right):
        return _by_severity(_ORDERS[tree.operator], _rank(tree.left), _rank(tree.right))
    else:
        compare = _by_size(_ORDERS[tree.operator])

    def test(record: Any) -> bool:
        first = left(record)
        if first is ABSENT:
            return False
        second = right(record)
        return second is not ABSENT and compare(first, second)

    return test


def _is_there(value: Any) -> bool:
    return value is not ABSENT and value is not None and value is not False


def _matches(search: Callable[[str], bool], value: Any) -> bool:
    return isinstance(value, str) and search(value)


def _is_level(value: Value) -> bool:
    return value.is_literal and isinstance(value.root, str) and value.root in SEVERITIES


def _value(value: Value) -> Evaluation:
    root, path = value.root, value.path
    if value.is_list:
        parts = [_value(part) for part in root]

        def evaluate_list(record: Any) -> Any:
            items = [part(record) for part in parts]
            return ABSENT if any(item is ABSENT for item in items) else _walk(items, path)

        return evaluate_list
    if root is not ABSENT:
        return lambda _: _walk(root, path)
    if len(path) == 1:
        name = path[0]
        return lambda record: record.get(name, ABSENT)
    return lambda record: _walk(record, path)


def _walk(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, str):
            value = value.get(step, ABSENT) if isinstance(value, dict) else ABSENT
        elif isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return ABSENT
    return value


def _same(first: Any, second: Any) -> bool:
    """Compare as JSON does, type by type: to Python 1, 1.0 and True are the same."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(value, second[key]) for key, value in first.items())
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


def _by_size(order: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(first: Any, second: Any) -> bool:
        if isinstance(first, str) and isinstance(second, str):
            return order(first, second)
        numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (first, second))
        return numbers and order(first, second)

    return compare


def _by_severity(order: Callable[[Any, Any], bool], left: Evaluation, right: Evaluation) -> Test:
    def test(record: Any) -> bool:
        first, second = left(record), right(record)
        return first is not None and second is not None and order(first, second)

    return test


def _rank(value: Value) -> Evaluation:
    """Return what tells how much a word matters: a record's own as its format has it, others as software at large."""
    find = _value(value)
    is_level = value.path == ("level",)

    def rank(record: Any) -> Any:
        found = find(record)
        known = SEVERITIES.get(found) if isinstance(found, str) else None
        is_own = str(found) == record.get(WORD) or (is_level and known is None)
        if value.is_literal or found is ABSENT or not is_own:
            return known
        own = record.get(SEVERITY)
        # Of Mina's three traces two are less than what others call one.
        return known if known is not None and max(known, own) < WORDS["debug"] else own

    return rank


_EQUALITIES = {
    "==": _same,
    "!=": lambda first, second: not _same(first, second),
    "in": lambda first, second: isinstance(second, list) and any(_same(first, item) for item in second),
}  # type: dict[str, Callable[[Any, Any], bool]]
_ORDERS = {
    "<": lambda first, second: first < second,
    "<=": lambda first, second: first <= second,
    ">": lambda first, second: first > second,
    ">=": lambda first, second: first >= second,
}  # type: dict[str, Callable[[Any, Any], bool]]
