"""The house of CONTRIBUTING.md, held by reading every import in it.

Each rule is a function from a source tree to what is wrong in it. It is asked twice: about this repository, where it
must find nothing, and about a small wrong tree, where it must find something; a rule that can't fail holds nothing.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from places import REPOSITORY

import lucy_core
from lucy_core import errors

PACKAGES = ("lucy_core", "lucy_engines")

# From the ground up. A module stands on the rooms before its own, and knows nothing of those after it.
ROOMS = (
    "visible",
    "errors",
    "plugins",
    "log",
    "aio",
    "helpers",
    "private_files",
    "removal",
    "words",
    "answers",
    "arguments",
    "faults",
    "records",
    "filters",
    "capturing",
    "formats",
    "recording",
    "delivery",
    "judging",
    "reports",
    "engine",
    "network",
    "run",
    "sources",
    "face",
    "mina",
    "executive",
    "testing",
)

# The same for the Docker engine. What isn't in a folder stands on them all, and is imported by none of them.
DOCKER_ROOMS = ("supervisor", "api", "plan", "run", "garbage", "faults")

# Started once a run or carried into a container: they must start at once, and need nothing but an interpreter.
BARE = (
    "lucy_core/filters/expressions.py",
    "lucy_core/filters/logproc.py",
    "lucy_core/records/keys.py",
    "lucy_core/records/severity.py",
    "lucy_core/helpers/boot.py",
    "lucy_core/helpers/channel.py",
    "lucy_core/helpers/forms.py",
    "lucy_core/helpers/server.py",
    "lucy_core/capturing/draining.py",
    "lucy_core/capturing/facts.py",
    "lucy_core/capturing/sources/fifo.py",
    "lucy_core/capturing/sources/files/follow.py",
    "lucy_core/capturing/sources/files/logs.py",
    "lucy_core/capturing/framing.py",
    "lucy_core/capturing/intake.py",
    "lucy_core/capturing/run_files.py",
    "lucy_core/capturing/loop.py",
    "lucy_core/capturing/recorder/recorder.py",
    "lucy_core/capturing/sources/files/inotify.py",
    "lucy_core/capturing/sources/files/naming.py",
    "lucy_core/capturing/sources/files/open_file.py",
    "lucy_core/capturing/sources/files/turns.py",
    "lucy_core/capturing/recorder/recycling.py",
    "lucy_core/capturing/requests.py",
    "lucy_core/capturing/recorder/rows.py",
    "lucy_core/capturing/sources/resumable.py",
    "lucy_core/capturing/searching.py",
    "lucy_core/capturing/sink.py",
    "lucy_core/capturing/sources/buffer.py",
    "lucy_core/capturing/sources/sockets.py",
    "lucy_core/capturing/sources/source.py",
    "lucy_core/capturing/tagged.py",
    "lucy_core/capturing/sources/whole.py",
    "lucy_core/capturing/sources/files/way.py",
    "lucy_engines/docker/run/marks.py",
    "lucy_engines/docker/faults/delayer.py",
    "lucy_engines/docker/faults/orders.py",
    "lucy_engines/docker/faults/place.py",
    "lucy_engines/docker/faults/scripts.py",
    "lucy_engines/docker/faults/tools.py",
    "lucy_engines/docker/faults/wanted.py",
    "lucy_engines/docker/faults/warden.py",
    "lucy_engines/docker/api/caller.py",
    "lucy_engines/docker/api/endpoint.py",
    "lucy_engines/docker/api/frames.py",
    "lucy_engines/docker/run/pump.py",
    "lucy_engines/docker/api/upgrade.py",
    "lucy_engines/docker/garbage/reaper.py",
    "lucy_engines/docker/garbage/things.py",
    "lucy_engines/docker/plan/inside.py",
    "lucy_core/testing/scripted_program.py",
    "lucy_engines/process/cgroups.py",
    "lucy_engines/process/guardian.py",
    "lucy_engines/process/kinship.py",
    "lucy_engines/process/orders.py",
    "lucy_engines/process/spawning.py",
    "lucy_engines/supervisor/puppeteer.py",
    "lucy_engines/supervisor/pipe.py",
    "lucy_engines/supervisor/relay.py",
    "lucy_engines/supervisor/sender.py",
)

# Mounted into containers, beside the puppeteer: an image's own interpreter reads them.
CARRIED = (
    "lucy_core/filters/expressions.py",
    "lucy_core/filters/logproc.py",
    "lucy_core/records/severity.py",
    "lucy_core/capturing/tagged.py",
    "lucy_engines/supervisor/puppeteer.py",
)

# What is public stands there, imported as itself.
FACADES = (
    "lucy_core/face.py",
    "lucy_core/mina/__init__.py",
    "lucy_core/testing/__init__.py",
    "lucy_core/engine/__init__.py",
)

# Where tests stand that are of no one room: of all of Lucy, and of what she does with other people's software.
WHOLE_HOUSE = "house"
REAL_SOFTWARE = "systems"

LINES = 400
# Path: why this module is one noun all the same.
LONG_MODULES: dict[str, str] = {
    "lucy_core/errors.py": "one tree, all of it in one place",
    "lucy_core/records/journal.py": "one table: what Lucy says, and of which nodes",
    "lucy_core/network/node.py": "one face, a command a method: mostly signatures and what they promise",
    "lucy_core/delivery/streams/stream.py": "one face, a step a method: mostly signatures and what they promise",
    "lucy_engines/supervisor/puppeteer.py": "carried into containers as one file; half is the account of its protocols",
    "lucy_core/filters/logproc.py": "one language in one file, which a container's supervisor has to carry",
    "lucy_core/mina/events.py": "one table: an event type an entry, its payload beside it",
}


# What one kind of network, or one kind of engine, calls its own. The core does without, but for what is named below.
FOREIGN = re.compile(
    r"docker|podman|kubernetes|(?-i:\bCompose\b)|docker-compose|blockchain|multiaddr|libp2p|graphql|genesis|snark"
    r"|puppeteer|nodes_initialized|\bbp-\d|(?<![a-z])(?:mina|containers?|slots?|epochs)(?![a-z])(?!__)",
    re.IGNORECASE,
)
# Path: why it may.
SPEAKS_OF_OTHERS: dict[str, str] = {
    "lucy_core/filters/logproc.py": "is the language of Mina's log processor, and has its levels",
    "lucy_core/filters/predicate.py": "names the language by where it comes from",
    "lucy_core/formats/wrapped.py": "says whose wrappers it takes off",
    "lucy_core/formats/wrappers.py": "takes off what others put around lines, and says whose it is",
}
# Path: why it may name the puppeteer, which is an engine's, and nothing else of others.
KNOWS_PUPPETEERS: dict[str, str] = {
    "lucy_core/run/exported.py": "declares the event by which a puppeteer says that a node has ended",
}


# Where an error's whole text is somebody else's: file and error, and whose.
READY_SENTENCES: dict[tuple[str, str], str] = {
    ("lucy_core/judging/judgement.py", "CheckFailedError"): "the test's own words",
    ("lucy_core/delivery/inlet.py", "RecordingError"): "what capture's own check says, which is bare",
}


class Import(NamedTuple):
    """One imported name, wherever in a file it is imported: `from a import b` is the name a.b."""

    file: str
    line: int
    name: str

    def is_of(self, module: str) -> bool:
        return self.name == module or self.name.startswith(f"{module}.")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def sources(tree: Path) -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((tree / package).rglob("*.py")):
            yield path.relative_to(tree).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: Path) -> Iterator[Import]:
    for file, module in sources(tree):
        for node in ast.walk(module):
            match node:
                case ast.Import(names=names):
                    yield from (Import(file, node.lineno, alias.name) for alias in names)
                case ast.ImportFrom(names=names):
                    origin = absolute_origin(file, node)
                    yield from (Import(file, node.lineno, f"{origin}.{alias.name}") for alias in names)
                case ast.Call(
                    func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield Import(file, node.lineno, name)


def absolute_origin(file: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = file.split("/")[: -node.level]
    return ".".join((*package, *filter(None, [node.module])))


def room_of(name: str) -> str | None:
    """The room that a file (lucy_core/delivery/live.py) or a name (lucy_core.delivery.live) belongs to."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if parts[0] == "lucy_core" and len(parts) > 1 else None


# --- the rules ------------------------------------------------------------------------------------------------------


def imports_against_the_order(tree: Path) -> list[str]:
    wrong = []
    for found in imports(tree):
        own = room_of(found.file)
        if own is None or own == "__init__" or not found.is_of("lucy_core"):
            continue
        other = room_of(found.name)
        if own not in ROOMS:
            wrong.append(f"{found.file} is in no room; give it a place in ROOMS")
        elif other not in ROOMS:
            wrong.append(f"{found}, of the public face; import it from its room")
        elif ROOMS.index(other) > ROOMS.index(own):
            wrong.append(f"{found}, but {own} comes before {other}")
    return wrong


def imports_against_the_order_of_docker(tree: Path) -> list[str]:
    def room(name: str) -> str | None:
        """Return the room of a file or a name; an empty text for what stands above them all."""
        parts = name.removesuffix(".py").replace("/", ".").split(".")
        if parts[:2] == ["lucy_engines", "docker"]:
            return parts[2] if len(parts) > 3 and parts[2] in DOCKER_ROOMS else ""
        return "supervisor" if parts[:2] == ["lucy_engines", "supervisor"] else None

    wrong = []
    for found in imports(tree):
        own, other = room(found.file), room(found.name)
        if own and other is not None and (not other or DOCKER_ROOMS.index(other) > DOCKER_ROOMS.index(own)):
            wrong.append(f"{found}, but {own} stands below it")
    return wrong


def imports_over_a_fence(tree: Path) -> list[str]:
    # What an engine puts into a container beside its own files is read where it is put together, too.
    carried = [file.removesuffix(".py").replace("/", ".") for file in CARRIED]
    for_engines = ("lucy_core.engine", "lucy_core.errors", "lucy_core.helpers", *carried)

    def is_fenced(found: Import) -> bool:
        in_core = found.file.startswith("lucy_core/")
        return (
            (in_core and (found.is_of("lucy_engines") or found.is_of("aiodocker")))
            or (found.is_of("gql") and not found.file.startswith("lucy_core/mina/graphql"))
            or (found.is_of("lucy_core.mina") and found.file.startswith("lucy_core/executive/"))
            or (found.is_of("importlib.metadata.entry_points") and found.file != "lucy_core/plugins.py")
            or (not in_core and found.name.startswith("lucy_core.") and not any(map(found.is_of, for_engines)))
        )

    return [str(found) for found in imports(tree) if is_fenced(found)]


def words_of_others(tree: Path) -> list[str]:
    """What in the generic core speaks of one kind of engine or of network: in names, texts and comments alike."""
    return [
        f"{file}:{number} says {found[0]!r}"
        for path in sorted((tree / "lucy_core").rglob("*.py"))
        for file in [path.relative_to(tree).as_posix()]
        if room_of(file) != "mina" and file not in SPEAKS_OF_OTHERS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for found in FOREIGN.finditer(line)
        if file not in KNOWS_PUPPETEERS or found[0].lower() != "puppeteer"
    ]


def errors_of_one_sentence(tree: Path) -> list[str]:
    """Where an error of Lucy's is made of a ready sentence, or half of one: nothing else can be read off it."""
    subjects = {name for name, kind in vars(errors).items() if isinstance(kind, type) and has_a_subject(kind)}
    wordless = {name for name, kind in vars(errors).items() if isinstance(kind, type) and says_what_it_is_given(kind)}
    wrong = []
    for file, module in sources(tree):
        ours = {
            alias.asname or alias.name
            for node in ast.walk(module)
            if isinstance(node, ast.ImportFrom) and node.module == "lucy_core.errors"
            for alias in node.names
            if alias.name in wordless | subjects
        }
        for node in ast.walk(module):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[made], keywords=[]) if name in ours & wordless:
                    if not isinstance(made, ast.Constant) and (file, name) not in READY_SENTENCES:
                        wrong.append(f"{file}:{node.lineno}: {name} gets a ready sentence; give it what it is about")
                case ast.Call(func=ast.Name(id=name), args=[made, _]) if name in ours & subjects and is_clause(made):
                    wrong.append(f"{file}:{node.lineno}: {name} gets half a sentence; give it what it is about")
    return wrong


def has_a_subject(kind: type) -> bool:
    """Whether an error is made of what it is about and of what is wrong with that."""
    try:
        return issubclass(kind, errors.LucyError) and vars(kind("thing", "is wrong")).get("subject") == "thing"
    except (TypeError, AttributeError):
        return False


def is_clause(made: ast.expr) -> bool:
    """Whether a text says what was done or not, instead of what it was done to."""
    first = made.values[0] if isinstance(made, ast.JoinedStr) and made.values else made
    return isinstance(first, ast.Constant) and str(first.value).startswith(("can't ", "could not "))


def says_what_it_is_given(kind: type) -> bool:
    """Whether an error's text is its one argument, and no more."""
    try:
        return issubclass(kind, errors.LucyError) and str(kind("probe")) == "probe"
    except TypeError:
        return False


def imports_of_bare_modules(tree: Path) -> list[str]:
    bare = [file.removesuffix(".py").replace("/", ".") for file in BARE]
    return [
        f"{found}, but must do with the standard library"
        for found in imports(tree)
        if found.file in BARE
        and found.name.split(".")[0] not in sys.stdlib_module_names
        and not any(found.is_of(module) for module in bare)
    ]


def processes_started_bare_beside_the_helpers(tree: Path) -> list[str]:
    return [
        f"{file}:{node.lineno} starts an isolated interpreter: let it be a Helper"
        for file, module in sources(tree)
        if file != "lucy_core/helpers/helper.py"
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and node.value == "-I"
    ]


def carried_modules_that_old_interpreters_cannot_read(tree: Path) -> list[str]:
    wrong = []
    for path in [tree / file for file in CARRIED if (tree / file).is_file()]:
        text = path.read_text(encoding="utf-8")
        try:
            ast.parse(text, feature_version=(3, 7))
        except SyntaxError as error:
            wrong.append(f"{path.relative_to(tree)}:{error.lineno} is not Python 3.7: {error.msg}")
    return wrong


def unlisted_public_names(tree: Path) -> list[str]:
    wrong = []
    for file, module in sources(tree):
        if file not in FACADES:
            continue
        defined, imported = top_level_names(module)
        public = defined | {name for name in imported if imported[name]}
        unlisted = sorted(public - names_imported_as_themselves(module))
        wrong += [f"{file}: {name} is public there, and not imported as itself" for name in unlisted]
    return wrong


def top_level_names(module: ast.Module) -> tuple[set[str], dict[str, bool]]:
    """Public names that a module defines, and those that it imports with whether Lucy is their origin."""
    defined: set[str] = set()
    imported: dict[str, bool] = {}
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                defined.add(name)
            case ast.Assign(targets=targets):
                defined.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined.add(name)
            case ast.Import(names=names):
                imported.update({alias.asname or alias.name.split(".")[0]: False for alias in names})
            case ast.ImportFrom(names=names):
                own = bool(node.level) or (node.module or "").split(".")[0] in PACKAGES
                imported.update({alias.asname or alias.name: own for alias in names})
    return (
        {name for name in defined if not name.startswith("_")},
        {name: own for name, own in imported.items() if not name.startswith("_")},
    )


def names_imported_as_themselves(module: ast.Module) -> set[str]:
    aliases = [alias for node in module.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {alias.name for alias in aliases if alias.asname == alias.name}


def long_modules(tree: Path) -> list[str]:
    counts = {
        path.relative_to(tree).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in (tree / package).rglob("*.py")
    }
    return [
        f"{file} has {lines} lines: split it by noun, or say in LONG_MODULES why not"
        for file, lines in sorted(counts.items())
        if lines > LINES and file not in LONG_MODULES
    ]


def strayed_tests(tree: Path) -> list[str]:
    rooms = {path.stem for package in PACKAGES for path in (tree / package).iterdir()} | {WHOLE_HOUSE, REAL_SOFTWARE}
    return [
        f"{path.relative_to(tree)}: neither {room!r} nor {WHOLE_HOUSE!r} is a room of what it tests"
        for path in sorted((tree / "tests").rglob("test_*.py"))
        for room in [path.parent.name if path.parent != tree / "tests" else path.stem.removeprefix("test_")]
        if room not in rooms
    ]


# --- asked about this repository ------------------------------------------------------------------------------------


def test_a_room_imports_only_from_the_rooms_before_it():
    assert imports_against_the_order(REPOSITORY) == []


def test_a_room_of_the_docker_engine_imports_only_from_the_rooms_before_it():
    assert imports_against_the_order_of_docker(REPOSITORY) == []


def test_the_core_knows_no_engine_and_the_executive_no_vocabulary():
    assert imports_over_a_fence(REPOSITORY) == []


def test_the_core_speaks_of_no_engine_and_of_no_kind_of_network():
    assert words_of_others(REPOSITORY) == []


def test_every_module_that_may_speak_of_others_still_does():
    texts = {file: (REPOSITORY / file).read_text(encoding="utf-8") for file in (*SPEAKS_OF_OTHERS, *KNOWS_PUPPETEERS)}
    assert [file for file in SPEAKS_OF_OTHERS if not FOREIGN.search(texts[file])] == []
    assert [file for file in KNOWS_PUPPETEERS if "puppeteer" not in texts[file]] == []


def test_an_error_is_made_of_what_it_is_about_and_not_of_a_ready_sentence():
    assert errors_of_one_sentence(REPOSITORY) == []


def test_what_starts_bare_needs_nothing_but_the_standard_library():
    assert imports_of_bare_modules(REPOSITORY) == []


def test_every_process_of_lucys_own_is_started_in_one_way():
    assert processes_started_bare_beside_the_helpers(REPOSITORY) == []


def test_what_is_carried_into_containers_reads_under_python_3_7():
    assert carried_modules_that_old_interpreters_cannot_read(REPOSITORY) == []


def test_each_facade_lists_exactly_what_is_public_there():
    assert unlisted_public_names(REPOSITORY) == []


def test_whatever_is_raised_can_be_caught_by_its_public_name():
    tree = ast.parse((REPOSITORY / "lucy_core/errors.py").read_text())
    raised = {node.name for node in tree.body if isinstance(node, ast.ClassDef) if not node.name.startswith("_")}
    assert raised - set(lucy_core.__all__) == set()


def test_no_module_grows_beyond_one_noun():
    assert long_modules(REPOSITORY) == []


def test_a_test_stands_in_the_folder_of_its_room():
    assert strayed_tests(REPOSITORY) == []


def test_contributings_map_shows_every_room_in_its_order():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROOMS


HOP = re.compile(r"^\| \d+ \| `(\S+)` \| `(?:(\w+)\.)?(\w+)` \|", re.MULTILINE)


def test_the_hops_that_contributing_tells_are_there_and_make_no_step_back():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for file, owner, function in HOP.findall(text):
        (path,) = [REPOSITORY / package / file for package in PACKAGES if (REPOSITORY / package / file).is_file()]
        module = ast.parse(path.read_text(encoding="utf-8"))
        (within,) = [node for node in module.body if getattr(node, "name", "") == owner] if owner else [module]
        assert function in {getattr(node, "name", "") for node in within.body}, (file, owner, function)
    way = text.partition("## A line's way")[2].partition("\n## ")[0]
    rooms = [ROOMS.index(file.split("/")[0]) for file, _, _ in HOP.findall(way)]
    assert len(rooms) == 13
    assert rooms == sorted(rooms)
    command = [file.split("/")[0] for file, _, _ in HOP.findall(text.partition("## A command's way")[2])]
    asked = [ROOMS.index(room.removesuffix(".py")) for room in command[:4]]
    told = command[8:]
    assert len(command) == 15
    assert asked == sorted(asked, reverse=True)
    assert told == sorted(told, key=lambda room: room in ROOMS)


def test_every_listed_room_is_still_there():
    there = {path.stem for path in (REPOSITORY / "lucy_core").iterdir()}
    assert [room for room in ROOMS if room not in there] == []


def test_every_listed_exception_is_still_one():
    lines = {file: len((REPOSITORY / file).read_text(encoding="utf-8").splitlines()) for file in LONG_MODULES}
    assert [file for file, count in lines.items() if count <= LINES] == []


# --- asked about wrong trees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "file", "text", "complaint"),
    (
        pytest.param(
            imports_against_the_order,
            "lucy_core/records.py",
            "from lucy_core.network import Network",
            "records comes before network",
            id="a room imports a later one",
        ),
        pytest.param(
            imports_against_the_order,
            "lucy_core/delivery/live.py",
            "def run():\n    from ..judging import waits",
            "delivery comes before judging",
            id="relatively and inside a function",
        ),
        pytest.param(
            imports_against_the_order,
            "lucy_core/reports.py",
            "import importlib\nimportlib.import_module('lucy_core.testing')",
            "reports comes before testing",
            id="by import_module",
        ),
        pytest.param(
            imports_against_the_order,
            "lucy_core/utils.py",
            "import lucy_core.errors",
            "in no room",
            id="a module has no room",
        ),
        pytest.param(
            imports_against_the_order,
            "lucy_core/mina/state.py",
            "from lucy_core import deploy",
            "public face",
            id="a room imports the public face",
        ),
        pytest.param(
            imports_against_the_order_of_docker,
            "lucy_engines/docker/run/node.py",
            "from lucy_engines.docker.faults import clock",
            "run stands below it",
            id="a room of the Docker engine imports a later one",
        ),
        pytest.param(
            imports_against_the_order_of_docker,
            "lucy_engines/docker/api/client.py",
            "from lucy_engines.docker.engine import DockerEngine",
            "api stands below it",
            id="or what stands on all of them",
        ),
        pytest.param(
            imports_against_the_order_of_docker,
            "lucy_engines/supervisor/link.py",
            "import lucy_engines.docker.api.frames",
            "supervisor stands below it",
            id="the supervisor knows the Docker engine",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_core/engine.py",
            "import lucy_engines.docker",
            "lucy_engines.docker",
            id="the core imports an engine",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_core/engine.py",
            "def connect():\n    from aiodocker import Docker",
            "aiodocker.Docker",
            id="the core imports aiodocker",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_core/run/options.py",
            "from importlib.metadata import entry_points",
            "imports importlib.metadata.entry_points",
            id="a way of its own to plug-ins",
        ),
        pytest.param(
            errors_of_one_sentence,
            "lucy_core/network/node.py",
            "from lucy_core.errors import DeployError\ndef fail(name):\n    raise DeployError(f'no {name}')",
            "DeployError gets a ready sentence",
            id="an error of an f-string",
        ),
        pytest.param(
            errors_of_one_sentence,
            "lucy_engines/process.py",
            "from lucy_core.errors import UsageError\nmessage = 'no'\nraise UsageError(message)",
            "UsageError gets a ready sentence",
            id="an error of a sentence made before",
        ),
        pytest.param(
            errors_of_one_sentence,
            "lucy_core/delivery/inlet.py",
            "from lucy_core.errors import RecordingError\nraise RecordingError(f\"can't listen on {1}\", ': busy')",
            "RecordingError gets half a sentence",
            id="an error about a clause",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/network/node.py",
            "def restart_container(self): ...",
            "says 'container'",
            id="a name of an engine's",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/errors.py",
            "TEXT = f'no Docker Engine at {host}'",
            "says 'Docker'",
            id="a text that names an engine",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/run/options.py",
            '"""Options, e.g. `mina_image`."""',
            "says 'mina'",
            id="a docstring that names a network",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/judging/durations.py",
            "x = 1  # the length of two slots",
            "says 'slots'",
            id="a comment in a network's units",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/faults.py",
            "ADVICE = \"give nodes=('bp-1',)\"",
            "says 'bp-1'",
            id="an example of a network's nodes",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/executive/plugin.py",
            '"""wait_for(nodes_initialized())"""',
            "says 'nodes_initialized'",
            id="an example of a vocabulary's condition",
        ),
        pytest.param(
            words_of_others,
            "lucy_core/run/run.py",
            "x = 1  # the puppeteers end",
            "says 'puppeteer'",
            id="an engine's supervisor by its name",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_engines/docker/engine.py",
            "from lucy_core.delivery.pipeline import Pipeline",
            "lucy_core.delivery.pipeline.Pipeline",
            id="an engine imports what is no part of its contract",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_core/mina/state.py",
            "import gql",
            "imports gql",
            id="gql outside of mina's graphql",
        ),
        pytest.param(
            imports_over_a_fence,
            "lucy_core/executive/command_line.py",
            "from lucy_core.mina import VOCABULARY",
            "lucy_core.mina.VOCABULARY",
            id="the executive knows mina",
        ),
        pytest.param(
            imports_of_bare_modules,
            "lucy_core/capturing/loop.py",
            "from lucy_core.errors import LucyError",
            "standard library",
            id="capture imports a room",
        ),
        pytest.param(
            imports_of_bare_modules,
            "lucy_engines/supervisor/puppeteer.py",
            "import msgspec",
            "standard library",
            id="the puppeteer imports a dependency",
        ),
        pytest.param(
            processes_started_bare_beside_the_helpers,
            "lucy_engines/external/prober.py",
            "import subprocess, sys\nsubprocess.Popen([sys.executable, '-I', '-S', 'probe.py'])",
            "let it be a Helper",
            id="a process is started in a way of its own",
        ),
        pytest.param(
            carried_modules_that_old_interpreters_cannot_read,
            "lucy_core/capturing/tagged.py",
            "if (line := 1): ...",
            "is not Python 3.7",
            id="a container's supervisor needs a new interpreter",
        ),
        pytest.param(
            unlisted_public_names,
            "lucy_core/face.py",
            "from lucy_core.network import Network",
            "Network is public",
            id="a facade shows more than it lists",
        ),
        pytest.param(
            unlisted_public_names,
            "lucy_core/engine/__init__.py",
            "from lucy_core.engine.contract import Engine as Engine\nclass Fleet: ...",
            "Fleet is public",
            id="a facade defines what it shows",
        ),
        pytest.param(
            unlisted_public_names,
            "lucy_core/testing/__init__.py",
            "from lucy_core.testing.leaks import Held as Holding",
            "Holding is public",
            id="a facade shows something by another name",
        ),
        pytest.param(
            long_modules,
            "lucy_core/network.py",
            "\n" * (LINES + 1),
            f"{LINES + 1} lines",
            id="a module is long",
        ),
        pytest.param(
            strayed_tests,
            "tests/engines/test_process_engine.py",
            "",
            "neither 'engines' nor 'house' is a room",
            id="a test is in no room",
        ),
        pytest.param(
            strayed_tests,
            "tests/test_waits.py",
            "",
            "neither 'waits' nor 'house' is a room",
            id="a room's test stands outside of it",
        ),
    ),
)
def test_the_rules_can_fail(
    tmp_path: Path, rule: Callable[[Path], list[str]], file: str, text: str, complaint: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for package in PACKAGES:
        (tmp_path / package).mkdir(exist_ok=True)

    assert any(complaint in line for line in rule(tmp_path))


def test_a_right_tree_breaks_no_rule(tmp_path: Path) -> None:
    files = {
        "lucy_core/face.py": "from lucy_core.network import Network as Network",
        "lucy_core/errors.py": "class LucyError(Exception): ...",
        "lucy_core/engine.py": "import os\nfrom lucy_core.errors import LucyError\n__all__ = ['LucyError']",
        "lucy_core/network.py": "from lucy_core.engine import LucyError\nfrom lucy_core import errors",
        "lucy_core/capturing/loop.py": "import os\nfrom lucy_core.capturing.sources.fifo import open_fifo",
        "lucy_core/capturing/sources/fifo.py": "import fcntl",
        "lucy_core/mina/graphql.py": "import gql",
        "lucy_engines/docker.py": "import aiodocker\nimport lucy_core.engine",
        "tests/test_network.py": "",
        "tests/docker/test_daemons.py": "",
        "tests/house/test_all.py": "",
        "tests/systems/test_daemon.py": "",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)

    rules = (
        imports_against_the_order,
        imports_against_the_order_of_docker,
        imports_over_a_fence,
        imports_of_bare_modules,
        processes_started_bare_beside_the_helpers,
        carried_modules_that_old_interpreters_cannot_read,
        unlisted_public_names,
        long_modules,
        strayed_tests,
        words_of_others,
        errors_of_one_sentence,
    )
    assert [complaint for rule in rules for complaint in rule(tmp_path)] == []
