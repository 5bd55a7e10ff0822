"""`import lucy_core` costs its dependencies and little more.

Wall time on a shared machine says nothing, so the first measure is exact: which modules come along. The second is the
share of Lucy's own modules in the CPU's work, both taken in one process, so that a slow machine slows both sides.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lucy_core
from lucy_core import face

DEPENDENCIES = ("anyio", "anyio.lowlevel", "msgspec", "reactivex", "reactivex.operators", "structlog")
# Measured: a quarter. Work done at import, or a heavy module of the standard library, shows here first.
OWN_SHARE = 0.4
ATTEMPTS = 3

LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""

OWN_TIME = """
import importlib, json, sys, time
def spent(names):
    start = time.process_time_ns()
    for name in names:
        importlib.import_module(name)
    return time.process_time_ns() - start
dependencies = spent(sys.argv[1:])
print(json.dumps([dependencies, spent(["lucy_core.face"])]))
"""


def in_a_fresh_interpreter(program: str, *names: str, **variables: str) -> list:
    environment = {**os.environ, **variables}
    run = subprocess.run(
        [sys.executable, "-c", program, *names], check=True, capture_output=True, text=True, env=environment
    )
    return json.loads(run.stdout)


def third_party(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


def test_importing_lucy_brings_in_nothing_but_its_declared_dependencies() -> None:
    with_lucy = in_a_fresh_interpreter(LOADED, *DEPENDENCIES, "lucy_core.face")
    alone = in_a_fresh_interpreter(LOADED, *DEPENDENCIES)

    assert third_party(with_lucy) - third_party(alone) == {"lucy_core"}


def test_importing_lucy_leaves_the_optional_rooms_unopened() -> None:
    loaded = in_a_fresh_interpreter(LOADED, "lucy_core.face")

    rooms = {name for name in loaded if name.startswith("lucy_core.")}
    assert rooms & {"lucy_core.mina", "lucy_core.executive", "lucy_core.testing"} == set()


def test_lucys_own_modules_are_a_small_share_of_its_import(tmp_path: Path) -> None:
    # Compiled once, as its dependencies were when they were installed: an environment may forbid to keep that.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    in_a_fresh_interpreter(OWN_TIME, *DEPENDENCIES, **compiled)
    shares = []
    for _ in range(ATTEMPTS):  # the best counts: noise only ever adds
        dependencies, own = in_a_fresh_interpreter(OWN_TIME, *DEPENDENCIES, **compiled)
        shares.append(own / (dependencies + own))
        if shares[-1] < OWN_SHARE:
            return

    raise AssertionError(f"lucy_core's own share of its import is {min(shares):.0%}, the budget {OWN_SHARE:.0%}")


def test_the_package_alone_imports_nothing_and_a_name_of_it_all_that_it_needs() -> None:
    loaded = in_a_fresh_interpreter(LOADED, "lucy_core", "lucy_core.executive")
    program = "import lucy_core, json; print(json.dumps([lucy_core.seconds.__name__, lucy_core.errors.__name__]))"

    assert [name for name in loaded if name.split(".")[0] in ("anyio", "reactivex", "msgspec", "asyncio")] == []
    assert in_a_fresh_interpreter(program) == ["seconds", "lucy_core.errors"]


def test_the_package_shows_what_its_face_lists_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from lucy_core import *", names)  # as people do it in a notebook

    listed = {name for name in vars(face) if not name.startswith("_")}
    assert set(names) - {"__builtins__"} == listed
    assert listed <= set(dir(lucy_core))
    with pytest.raises(AttributeError, match="has no attribute 'deplay'"):
        lucy_core.deplay  # noqa: B018  # the asking is what is tested
    assert not hasattr(lucy_core, "__wrapped__")
