"""What there is to run in a Python file: tests, scenarios and topologies, found by name.

Tests are looked for in the text alone: pytest imports the file by rules of its own, and once. Only where a scenario or
a topology is wanted is the file imported here, as `python FILE` would.
"""

import ast
import contextlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, final

import msgspec

from lucy_core.arguments import path_of
from lucy_core.engine import NetworkSpec
from lucy_core.errors import ArgumentError, TopologyError, UnknownNameError, UsageError, shown
from lucy_core.executive.scenario import Scenario
from lucy_core.network.vocabulary import Topology, topology_of

SEPARATOR = "::"


@final
class Target(msgspec.Struct, frozen=True):
    """What the command line names: `test_file.py`, or `test_file.py::name`."""

    file: Path
    name: str
    """What is meant in it; empty for whatever there is."""

    def __str__(self) -> str:
        return f"{self.file}{SEPARATOR}{self.name}" if self.name else str(self.file)


def target_of(text: str) -> Target:
    """Read what the command line names.

    Raises:
        UsageError: there is no such file, or it is no Python file.
    """
    path, separator, name = text.partition(SEPARATOR)
    if separator and not name:
        raise UsageError(shown(text), "names nothing behind '::'; leave that out, or name what is in the file")
    try:
        file = Path(path_of(path, "it"))
    except ArgumentError as error:
        raise UsageError(f"the file {shown(path)}", error.reason) from None
    subject = f"the file {shown(path)}"
    if file.is_dir():
        raise UsageError(subject, "is a directory; give a Python file of it, or run all of its tests by pytest")
    if not file.exists():
        raise UsageError(subject, "isn't there; give a Python file, as in `lucy run test_file.py::name`")
    if file.suffix != ".py":
        raise UsageError(subject, "isn't called like a Python file; give one, like test_file.py")
    return Target(file, name)


def tests_in(file: Path) -> tuple[str, ...]:
    """List the tests of a file as pytest names them: functions, classes, and those of a class behind its name.

    Raises:
        UsageError: it can't be read, or is no Python.
    """
    try:
        tree = ast.parse(file.read_bytes(), file.name)
    except OSError as error:
        raise UsageError(f"the file {shown(str(file))}", f"can't be read: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"the file {shown(str(file))}", f"is no Python: {said}{where}") from None
    return tuple(_tests(tree.body))


def _tests(body: Iterable[ast.stmt], above: str = "") -> Iterator[str]:
    for each in body:
        match each:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if each.name.startswith("test"):
                yield above + each.name
            case ast.ClassDef() if each.name.startswith("Test"):
                inner = tuple(_tests(each.body, f"{above}{each.name}{SEPARATOR}"))
                yield from (above + each.name, *inner) if inner else ()
            case ast.If():
                yield from _tests((*each.body, *each.orelse), above)


def is_test(name: str, tests: Iterable[str]) -> bool:
    """Tell whether a name is that of one of these tests, with the parameters of one call of it or without."""
    return re.sub(r"\[.*\]\Z", "", name, flags=re.DOTALL) in tests


def load_from_file(target: Target, tests: Iterable[str]) -> Scenario | Topology:
    """Import a file, and return the scenario or topology that is meant.

    Args:
        target: where, and which.
        tests: those of the file, to name where nothing is called so.

    Raises:
        UsageError: the file can't be imported, what is meant is nothing to run, or it isn't clear what is meant.
        UnknownNameError: nothing in it is called so.
    """
    module = _import(target.file)
    found = dict(_runnable(module))
    if target.name:
        if target.name in found:
            return found[target.name]
        if not hasattr(module, target.name):
            raise UnknownNameError(f"test, scenario or topology of {target.file}", target.name, (*found, *tests))
        return _made(getattr(module, target.name), str(target))
    scenarios = {name: each for name, each in found.items() if isinstance(each, Scenario)}
    several = scenarios or found
    subject = f"the file {shown(str(target.file))}"
    if not several:
        raise UsageError(
            subject,
            "has nothing to run in it: no test, no scenario, and no topology, such as `cluster = lucy.NetworkSpec(…)`",
        )
    if len(several) > 1:
        name = next(iter(several))
        raise UsageError(subject, f"has {', '.join(several)}; say which: lucy run {target.file}{SEPARATOR}{name}")
    return next(iter(several.values()))


def _import(file: Path) -> ModuleType:
    """Import a file by its own name, where nothing else has that."""
    own = file.absolute()
    name = own.stem
    with contextlib.suppress(ImportError, ValueError):
        if name in sys.modules or importlib.util.find_spec(name) is not None:
            name = f"{name}_to_run"
    spec = importlib.util.spec_from_file_location(name, own)
    assert spec is not None  # noqa: S101  # it ends in .py
    assert spec.loader is not None  # noqa: S101  # as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(own.parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout may be for events alone
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(own)]
        where = f" (line {lines[-1]})" if lines else ""
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise UsageError(f"the file {shown(str(file))}", f"can't be imported{where}: {said}") from error
    return module


def _runnable(module: ModuleType) -> Iterator[tuple[str, Scenario | Topology]]:
    """List what plainly is a scenario or a topology; a function may return anything, unless it says what."""
    for name, each in vars(module).items():
        if name.startswith("_"):
            continue
        if _is_one(each):
            yield name, each if isinstance(each, Scenario) else topology_of(each)
        elif getattr(each, "__module__", None) == module.__name__ and _says_that_it_makes_one(each, module):
            yield name, _made(each, name)


def _is_one(value: Any) -> bool:
    """Tell whether it is a scenario or describes a network itself."""
    if isinstance(value, type):
        return False
    return isinstance(value, (NetworkSpec, Scenario)) or _describes(value)


def _describes(value: Any) -> bool:
    return callable(getattr(value, "network_spec", None)) and hasattr(value, "vocabulary")


def _is_scenario_type(value: Any) -> bool:
    return isinstance(value, type) and all(hasattr(value, part) for part in ("name", "summary", "topology", "run"))


def _says_that_it_makes_one(value: Any, module: ModuleType) -> bool:
    """Tell whether it is a class of scenarios, or a function whose annotation says that it makes a network."""
    if not _can_be_called(value):
        return False
    if isinstance(value, type):
        return _is_scenario_type(value)
    said = getattr(value, "__annotations__", {}).get("return")
    if isinstance(said, str):
        with contextlib.suppress(Exception):
            said = eval(said, vars(module))  # noqa: S307  # the file was imported: it could have done so itself
    return isinstance(said, type) and (issubclass(said, NetworkSpec) or _describes(said) or _is_scenario_type(said))


def _can_be_called(value: Any) -> bool:
    """Tell whether it answers a call without arguments."""
    if not callable(value) or inspect.iscoroutinefunction(value):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def _made(value: Any, subject: str) -> Scenario | Topology:
    """Return what a value is or, of a function or a class that needs no arguments, gives."""
    made, is_made = value, not _is_one(value) and _can_be_called(value)
    if is_made:
        try:
            made = value()
        except Exception as error:
            raise UsageError(subject, f"raised {type(error).__name__}: {error}") from error
    if not isinstance(made, type) and isinstance(made, Scenario):
        return made
    try:
        return topology_of(made)
    except TopologyError:
        advice = "name a NetworkSpec, a topology, a scenario, or a function without arguments that gives one"
        reason = f"{'gave' if is_made else 'is'} {shown(made)}, which is nothing to run; {advice}"
        raise UsageError(subject, reason) from None
