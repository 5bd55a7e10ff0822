"""An error is made of what it is about: it can be read off it, and its sentence says it."""

import errno
from typing import Any

import pytest

import lucy_core as lucy

MADE: tuple[tuple[lucy.LucyError, dict[str, Any], str], ...] = (
    (
        lucy.TopologyError("node 'a'", "refers to nobody"),
        {"subject": "node 'a'", "reason": "refers to nobody"},
        "node 'a' refers to nobody",
    ),
    (lucy.TopologyError("node 'a'", ": its name=''"), {"subject": "node 'a'"}, "node 'a': its name=''"),
    (lucy.TopologyError("not here"), {"subject": "not here", "reason": ""}, "not here"),
    (
        lucy.OptionError("seed", "x", "is no number"),
        {"name": "seed", "value": "x", "reason": "is no number"},
        "option seed='x' is no number",
    ),
    (
        lucy.UnknownNameError("engine", "proces", ["process", "docker", "docker"]),
        {"kind": "engine", "known": ("docker", "process")},
        "no engine is called 'proces'; did you mean process? (there is: docker, process)",
    ),
    (
        lucy.CommandLineError("no\nsuch" + "x" * 500, "lucy"),
        {"program": "lucy"},
        "no\\nsuch" + "x" * 392 + "… (see lucy --help)",
    ),
    (
        lucy.UnknownPortError("a", "q", ("p",)),
        {"node": "a", "port": "q", "known": ("p",)},
        "node 'a' has no port 'q'; it has p",
    ),
    (
        lucy.NodeFileError("a", "read", "x/y", "it is a directory"),
        {"node": "a", "action": "read", "path": "x/y"},
        "node 'a': can't read x/y: it is a directory",
    ),
    (lucy.DeployError("no machine"), {"node": None, "reason": "no machine"}, "no machine"),
    (lucy.DeployError("no machine", "a"), {"node": "a", "reason": "no machine"}, "node 'a': no machine"),
    (
        lucy.HelperStartError("the pump, which carries", OSError(errno.ENOENT, "Not there", "/x")),
        {"helper": "the pump, which carries"},
        "the pump, which carries, does not start: Not there: /x",
    ),
    (lucy.RefusedError("make it", 500, "no room"), {"action": "make it", "status": 500}, "can't make it: no room"),
    (
        lucy.SystemRefusedError(OSError(errno.EMFILE, "Too many", "/x"), "close some"),
        {"errno": errno.EMFILE, "path": "/x", "advice": "close some", "node": None},
        "can't make the network: /x: Too many; close some",
    ),
    (
        lucy.SystemRefusedError(OSError("no luck"), ""),
        {"errno": 0, "path": None, "advice": ""},
        "can't make the network: no luck",
    ),
    (
        lucy.NodeRefusedError("a", "pay", "no_funds", "too poor", {"by": 1}),
        {"node": "a", "operation": "pay", "code": "no_funds", "reason": "too poor", "extensions": {"by": 1}},
        "pay on a failed (no_funds): too poor",
    ),
    (
        lucy.NodeUnreachableError("a", "pay", "timeout", "no answer", 2.5, "http://x"),
        {"code": "timeout", "reason": "no answer", "seconds": 2.5, "url": "http://x"},
        "pay on a failed (timeout): no answer (gave up after 2.5 s; http://x)",
    ),
    (
        lucy.CutOffError(3, 9, "it slept"),
        {"position": 3, "delivered": 9, "why": "it slept", "stopped": None},
        "it slept; read up to position 3 of 9",
    ),
    (
        lucy.CutOffError(3, 9, stopped=(3, "a full disk")),
        {"why": "", "stopped": (3, "a full disk")},
        "read up to position 3 of 9: the recording stopped at 3 (a full disk), and what came since can't be read back",
    ),
    (
        lucy.UnrunnableError("a", "/x", "no permission"),
        {"node": "a", "program": "/x"},
        "node 'a': can't run /x: no permission",
    ),
    (
        lucy.InconclusiveError("a gap", what="waiting", explanation="the ledger"),
        {"reason": "a gap", "what": "waiting"},
        "waiting: a gap\nthe ledger",
    ),
    (lucy.InconclusiveError("a gap"), {"reason": "a gap", "what": ""}, "a gap"),
    (
        lucy.ViolationError("{silence}", 1.25, "a line", "the ledger"),
        {"description": "{silence}", "waited": 1.25},
        "{silence} was broken after 1.2 s: a line\nthe ledger",
    ),
)


@pytest.mark.parametrize(("error", "attributes", "said"), MADE, ids=[said for _, _, said in MADE])
def test_an_error_has_what_it_is_about_and_says_it(
    error: lucy.LucyError, attributes: dict[str, Any], said: str
) -> None:
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert str(error) == said


def test_an_option_that_is_of_no_use_is_a_slip_of_use_and_of_description() -> None:
    error = lucy.OptionError("seed", "x", "is no number")
    assert isinstance(error, lucy.UsageError)
    assert isinstance(error, lucy.TopologyError)


def test_an_unknown_engine_is_an_unknown_name_and_an_engines_error() -> None:
    error = lucy.UnknownEngineError("x", ())
    assert isinstance(error, lucy.UnknownNameError)
    assert isinstance(error, lucy.EngineError)
    assert str(error) == "no engine is called 'x' (there is: none)"
