"""Scripted nodes: real programs that do what a test says, in any place where an engine puts nodes.

::

    network = lucy.NetworkSpec(name="small", nodes=(
        scripted_node("a", "listen:{bind}:{port:p}", "tick", ports=("p",)),
        scripted_node("b", "dial:{host:a}:{port:a.p}"),
        scripted_node("c", "say:1000", "exit:3"),
    ))

A node tells that it `started`, which also counts the starts since its state was fresh, and then does its steps one
after the other: `scripted_program.Program` has a method for each. All it needs is a `python3` of 3.7 or later.
"""

from pathlib import Path
from typing import Any

import msgspec

from lucy_core.engine.spec import NodeSpec
from lucy_core.records.event import event

_PROGRAM = Path(__file__).with_name("scripted_program.py")
_FILE = "scripted.py"
STATE_VARIABLE = "SCRIPTED_STATE"
"""In a scripted node's environment: where its state is, for commands in its place."""


@event(ids="lucy.scripted.numbered")
class Numbered(msgspec.Struct, frozen=True):
    """A scripted node wrote a numbered line: `say`, `tick`, `flood`."""

    start: int
    """Which start of the node it was, counted from 1 since its state was fresh."""
    n: int
    """Counted from 1 within a start, without a gap."""


@event(ids="lucy.scripted.told")
class Told(msgspec.Struct, frozen=True):
    """A scripted node told one fact: that it `started`, what a variable holds, and so on."""

    start: int
    """Which of the node's starts it was in, from 1."""
    what: str
    """What the fact is about."""
    value: str
    """The fact, as text."""


@event(ids="lucy.scripted.dialled")
class Dialled(msgspec.Struct, frozen=True):
    """A scripted node tried to reach a listener: `dial`."""

    start: int
    """Which of the node's starts it was in, from 1."""
    host: str
    """Where it tried."""
    problem: str
    """Empty if it was answered."""
    seconds: float
    """How long that took."""


def scripted_node(name: str, *steps: str, python: str = "python3", **more: Any) -> NodeSpec:
    """Describe a node that does these steps and ends.

    Args:
        name: its name.
        steps: what it does, e.g. `say:100`; placeholders of `NodeSpec` are filled in.
        python: the interpreter, where the node is.
        more: anything else of a `NodeSpec`.
    """
    files = {**more.pop("files", {}), _FILE: _PROGRAM.read_bytes()}
    environment = {STATE_VARIABLE: "{state}", **more.pop("environment", {})}
    command = (python, "-S", "-E", f"{{file:{_FILE}}}", "{state}", *steps)
    role = more.pop("role", "scripted")
    return NodeSpec(name=name, role=role, command=command, files=files, environment=environment, **more)
