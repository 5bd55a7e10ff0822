"""A run's options: text by name, for whoever describes the network and for its engine. Sans-IO.

An option that nobody asks for is a slip of the pen, which would go unnoticed: `--option colur=red` changes nothing.
Engines declare theirs (`EngineOption`); topologies and scenarios are anybody's, and show which ones they know by asking
for them. So what is given is handed to them in a mapping that remembers what it was asked for. Whoever goes through all
of it may mean any.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import final

from lucy_core.arguments import Rule, mapping_of, text_of, word_of
from lucy_core.engine import Engine
from lucy_core.engine.contract import engine_names, load_engine
from lucy_core.errors import ArgumentError, OptionError, UnknownNameError, UsageError, shown

EVERYBODYS = frozenset({"seed"})
"""Written into each run's result, used or not."""
_RULE = mapping_of(text_of, word_of, "{'seed': '3'}")


@final
class Options(Mapping[str, str]):
    """Options as they were given, and who asked for which."""

    def __init__(self, given: object = None) -> None:
        """Take them.

        Raises:
            UsageError: they are no mapping of text to text.
        """
        try:
            self.given: dict[str, str] = _RULE({} if given is None else given, "options")
        except ArgumentError as error:
            raise UsageError(f"{error.name}={shown(error.value)}", error.reason) from None
        self._asked: set[str] = set()
        self._all_asked = False

    def __getitem__(self, name: str) -> str:
        self._asked.add(name)
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        self._all_asked = True
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def check(self, engine: Engine, also: Callable[[], Iterable[str]] = tuple) -> None:
        """Hold them against what was asked for, once the network is described, and against what the engine declares.

        Args:
            engine: whose options are known besides. One that declares none may ask for anything later.
            also: gives names that nobody here knows and that are no mistake; called where there are such.

        Raises:
            UnknownNameError: nobody knows one of them.
            OptionError: its value is none of those that there are.
        """
        for option in engine.options:
            if option.name in self.given:
                option.check(self.given[option.name])
        if self._all_asked or not engine.options:
            return
        known = {*self._asked, *(option.name for option in engine.options), *EVERYBODYS}
        strangers = [name for name in self.given if name not in known]
        others = frozenset(also()) if strangers else ()
        for name in strangers:
            if name not in others:
                raise UnknownNameError("option", name, known)


def options_of_all_engines() -> frozenset[str]:
    """Name what any installed engine knows: one test may run on several, and give each its options."""
    found: set[str] = set()
    for name in engine_names():
        try:
            found.update(option.name for option in load_engine(name).options)
        except Exception:  # noqa: BLE001, S112  # one broken plug-in must not hide the others, nor fail their runs
            continue
    return frozenset(found)


def number_option(options: Mapping[str, str], name: str, default: float, rule: Rule) -> float:
    """Read a number.

    Raises:
        OptionError: saying what was given and what to give.
    """
    text = options.get(name)
    if text is None:
        return default
    try:
        number: float = rule(float(text), name)
    except ArgumentError as error:
        raise OptionError(name, text, error.reason) from None
    except ValueError:
        raise OptionError(name, text, f"is no number; give one like {default:g}") from None
    return number
