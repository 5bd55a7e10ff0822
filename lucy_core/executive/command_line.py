"""The command `lucy`."""

import argparse
import secrets
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import anyio
import msgspec

from lucy_core import log
from lucy_core.engine import EngineOption
from lucy_core.engine.contract import engine_names, load_engine
from lucy_core.errors import (
    ArgumentError,
    AttachError,
    BrokenPluginError,
    CommandLineError,
    EngineError,
    ExportError,
    OptionError,
    TopologyError,
    UnknownNameError,
    UsageError,
    shown,
)
from lucy_core.executive.attaching import Attaching, add_attach, attaching_order, given_path
from lucy_core.executive.collecting import add_gc, collect_garbage, collectors_options
from lucy_core.executive.exporting import export
from lucy_core.executive.interruption import Interruption
from lucy_core.executive.own_options import add_own_options, own_options
from lucy_core.executive.performance import Order, Performance
from lucy_core.executive.running import (
    COMMAND,
    ENDING,
    ENGINE,
    add_run,
    chosen_engine,
    found,
    run_tests,
    scenario_of,
    split,
)
from lucy_core.executive.scenario import Scenario, load_scenario
from lucy_core.executive.showing.shows import Showing, say_the_rest
from lucy_core.executive.showing.voice import Voice
from lucy_core.executive.signals import Signals
from lucy_core.executive.tail import COMMAND as TAIL
from lucy_core.executive.tail import add_tail, tail
from lucy_core.judging.result import EXIT_CODES, ExitCode
from lucy_core.plugins import Kind, plugin_names
from lucy_core.run.run import When
from lucy_core.run.versions import versions

DESCRIPTION = """\
Run a network of real nodes, capture every line they log, and test over those lines.

A run deploys a scenario's network on an engine, runs the scenario's test, takes the network down, and leaves a run
directory: each node's log as it was written, what Lucy did, and the result as JSON, JUnit XML and a page to read.
"""

EPILOG = f"""\
examples:
  lucy list                                       what there is to run, and on what
  lucy ENGINE SCENARIO                            run a scenario; with --program, of a program of yours
  lucy ENGINE SCENARIO --pause on-failure         look at the network before it is taken down
  lucy ENGINE SCENARIO | jq 'select(.event == "NodeStarted")'
  lucy ENGINE SCENARIO --export DIR/FILE          the network as a file, for others to run
  lucy run test_file.py::name                     a scenario, a topology or tests, from a file
  lucy attach DIR                                 capture such a network
  lucy tail FILE --level warn --follow            show a log of any format
  lucy gc                                         remove what dead runs left behind
  lucy ENGINE --help                              every option of a run

On a terminal a run is shown live; on a pipe each event is one JSON line on stdout, with people served on stderr.
Ctrl-C ends the test and takes the network down; a second one leaves at once, and the nodes are still taken down.

exit codes:
{"".join(f"  {code.value:>3}  {text}{chr(10)}" for code, text in EXIT_CODES.items())}"""


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence. Those of commands are such too."""

    def __init__(self, **words: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **words)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line. Raises CommandLineError."""
        raise CommandLineError(message, self.prog)


def _version() -> str:
    found = versions()
    return f"lucy {found['lucy']} (python {found['python']}, anyio {found['anyio']}, msgspec {found['msgspec']})"


def make_parser(engines: Sequence[str], options: Mapping[str, Sequence[EngineOption]] | None = None) -> Parser:
    """Describe the command line.

    Args:
        engines: the commands that run a scenario.
        options: by command, what plug-ins add to it. Only the chosen command's are needed: to know them they are
            imported.
    """
    parser = Parser(prog="lucy", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser("list", help="list engines and scenarios")
    add_gc(commands, (options or {}).get("gc", ()))
    add_tail(commands)
    _add_shared_options(add_attach(commands))
    run = add_run(commands)
    _add_run_options(run)
    add_own_options(run, "options of the engine", own := tuple((options or {}).get(COMMAND, ())))
    run.set_defaults(engine_options=own)
    for name in engines:
        run = commands.add_parser(name, help=f"run a scenario on the {name} engine")
        own = tuple((options or {}).get(name, ()))
        run.add_argument("scenario", metavar="SCENARIO", help="what to run; `lucy list` names them")
        _add_run_options(run)
        run.add_argument(
            "--export",
            type=given_path,
            metavar="FILE",
            help="run nothing: write the network down as FILE, for others to run",
        )
        add_own_options(run, f"options of the {name} engine", own)
        run.set_defaults(engine=name, engine_options=own)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    words = [when.value for when in When]
    add("--keep", choices=words, default="always", help="when to keep the run directory (default: always)")
    add("--pause", choices=words, help="when to wait for Enter before the teardown (default: never)")
    add("-d", "--debug", action="store_true", help="--pause on-failure, and Lucy's debug log on stderr")
    add("--seed", type=int, metavar="N", help="makes the run repeatable; drawn and reported if not given")
    add("--program", metavar="PATH", help="the program to run as a node, in place of the scenario's own")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="an option for scenario or engine")
    _add_shared_options(parser)


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--run-dir", type=given_path, metavar="DIR", help="an empty or new directory; by default lucy-runs/<run id>")
    add("--uvloop", action="store_true", help="run on uvloop (pip install 'lucy-core[uvloop]')")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON lines on stdout, even on a terminal")
    form.add_argument("--live", action="store_true", help="the live view, even on a pipe")


def gather_options(arguments: argparse.Namespace) -> dict[str, str]:
    """Collect the run's options.

    Raises:
        UsageError: one is not KEY=VALUE.
        OptionError: one is given twice.
    """
    seed = arguments.seed
    named = {
        "seed": None if seed is None else str(seed),
        "program": arguments.program,
    }
    options = {key: value for key, value in named.items() if value is not None}
    options |= own_options(arguments, arguments.engine_options)
    for text in arguments.option:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {shown(text)}", "is not KEY=VALUE")
        if key in options:
            raise OptionError(key, value, f"is given twice: it is {shown(options[key])} too")
        options[key] = value
    options.setdefault("seed", str(secrets.randbelow(2**31)))
    return options


def command_again(
    engine: str, scenario: str, options: Mapping[str, str], own: Sequence[EngineOption] = ()
) -> tuple[str, ...]:
    """Write the command that runs the same once more; `own` are the engine's options, which have flags."""
    return ("lucy", engine, scenario, *_flags_again(options, own))


def _flags_again(options: Mapping[str, str], own: Sequence[EngineOption]) -> list[str]:
    flags = {"seed": "--seed", "program": "--program", **{option.name: option.flag for option in own}}
    switches = {option.name for option in own if option.is_switch}
    words: list[str] = []
    for key, value in options.items():
        if key in switches:
            words.append(flags[key])
        else:
            words += [flags[key], value] if key in flags else ["--option", f"{key}={value}"]
    return words


def list_all() -> str:
    """Say what there is to run, and on what."""
    lines = ["engines:"]
    for name in engine_names():
        try:
            engine = load_engine(name)
            able = sorted({*engine.capabilities, *(("faults",) if engine.faults else ())})
            abilities = ", ".join(able) or "no further abilities"
            if engine.name != name:
                abilities = f"another name for {engine.name}"
        except Exception as error:  # noqa: BLE001  # one broken plug-in must not hide the others
            abilities = f"can't be loaded: {type(error).__name__}: {error}"
        lines.append(f"  {name:<24} {abilities}")
    lines.append("scenarios:")
    for name in plugin_names(Kind.SCENARIO):
        try:
            summary = load_scenario(name).summary
        except Exception as error:  # noqa: BLE001  # as above
            summary = f"can't be loaded: {type(error).__name__}: {error}"
        lines.append(f"  {name:<24} {summary}")
    return "\n".join(lines)


def run_command(words: list[str], signals: Signals, voice: Voice) -> int:
    """Do what the command line says; return the exit code, which no trouble in showing it changes."""
    try:
        code = _run_command(words, signals, voice)
    except SystemExit as ended:  # argparse has printed help or version
        code = ended.code if isinstance(ended.code, int) else ExitCode.USAGE
    except (ArgumentError, UsageError, TopologyError, ExportError, AttachError) as error:
        voice.say(f"lucy: {error}")
        code = ExitCode.USAGE
    except BrokenPluginError as error:
        voice.say(f"lucy: {error}")
        code = ExitCode.INFRASTRUCTURE
    except KeyboardInterrupt:
        voice.say("\nlucy: interrupted")
        code = ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001  # a bug in Lucy or a plug-in must not look like a failed test
        voice.say(traceback.format_exc().rstrip("\n"))
        voice.say("lucy: this is a fault of Lucy or of a plug-in, not of the nodes; please report it")
        code = ExitCode.INFRASTRUCTURE
    say_the_rest(code, signals, voice)
    return code


def _run_command(words: list[str], signals: Signals, voice: Voice) -> int:
    engines = engine_names()
    known = {"list", "gc", "attach", TAIL, COMMAND, *engines}
    if words and not words[0].startswith("-") and words[0] not in known:
        raise UnknownNameError("engine or command", words[0], known)
    words, of_pytest = split(words) if words[:1] == [COMMAND] else (words, [])
    for word in words:
        option, _, value = word.partition("=")
        if option.startswith("--") and value == "--":  # argparse would take it for no value at all
            raise UsageError(f"{option}=--", "has no value; give one")
    chosen = words[0] if words else ""
    own: Sequence[EngineOption] = ()
    if chosen == "gc":
        own = collectors_options()
    elif chosen in engines:
        own = load_engine(chosen).options
    elif chosen == COMMAND:
        own = load_engine(chosen_engine(words) or ENGINE).options
    parser = make_parser(engines, {chosen: own})
    arguments = parser.parse_args(words)
    if arguments.command is None:
        parser.print_help()
        return ExitCode.USAGE
    if arguments.command == "list":
        with signals.interrupting():
            sys.stdout.write(list_all() + "\n")
        return ExitCode.PASSED
    if arguments.command == "gc":
        with signals.interrupting():
            return collect_garbage(arguments)
    if arguments.command == TAIL:
        return tail(arguments, signals, voice)
    if arguments.command == "attach":
        attaching = Attaching(arguments.exported)
        interruption = Interruption(signals, voice.say, attaching.ending)
        return perform(arguments, attaching, attaching_order(arguments), interruption, voice)
    if arguments.command == COMMAND:
        return _run_from_file(arguments, of_pytest, signals, voice)
    options = gather_options(arguments)
    if arguments.export is not None:
        with signals.interrupting():
            return export(arguments.engine, arguments.scenario, options, arguments.export)
    again = command_again(arguments.engine, arguments.scenario, options, arguments.engine_options)
    order = _order(arguments, options, again)
    return perform(arguments, load_scenario(arguments.scenario), order, Interruption(signals, voice.say), voice)


def _order(arguments: argparse.Namespace, options: dict[str, str], again: tuple[str, ...]) -> Order:
    return Order(
        engine=arguments.engine,
        options=options,
        directory=arguments.run_dir,
        keep=When(arguments.keep),
        pause=When(arguments.pause or ("on-failure" if arguments.debug else "never")),
        again=again,
    )


def _run_from_file(arguments: argparse.Namespace, of_pytest: Sequence[str], signals: Signals, voice: Voice) -> int:
    with signals.interrupting():
        target, meant = found(arguments.target)
    if meant is None:
        run_tests(arguments, target, of_pytest)
    if of_pytest:
        raise UsageError("what follows '--'", f"is for pytest, and {target} is no test; leave it out")
    arguments.engine = arguments.engine or ENGINE
    options = gather_options(arguments)
    seconds = () if arguments.seconds is None else ("--for", f"{arguments.seconds:g}")
    words = ("lucy", COMMAND, str(target), "--engine", arguments.engine, *seconds)
    scenario = scenario_of(target, meant, arguments.seconds)
    order = _order(arguments, options, (*words, *_flags_again(options, arguments.engine_options)))
    if scenario is meant:
        return perform(arguments, scenario, order, Interruption(signals, voice.say), voice)
    lasting = msgspec.structs.replace(order, lasts_until_interrupted=True)
    return perform(arguments, scenario, lasting, Interruption(signals, voice.say, ENDING), voice)


def perform(
    arguments: argparse.Namespace, scenario: Scenario, order: Order, interruption: Interruption, voice: Voice
) -> int:
    """Run a scenario and report."""
    if arguments.debug:
        log.show_frames()
    try:
        performance = Performance(scenario, order, interruption, voice.say)
    except EngineError as error:
        voice.say(f"lucy: {error}")
        return ExitCode.INFRASTRUCTURE
    showing = Showing(voice, f"{scenario.name} on {arguments.engine}", json=arguments.json, live=arguments.live)
    with showing.prints_kept_apart():
        showing.began(performance.run)
        loop = {"use_uvloop": arguments.uvloop}
        result = anyio.run(performance.perform, showing.views, showing.report, backend_options=loop)
        showing.ended(performance.run)
    return result.exit_code
