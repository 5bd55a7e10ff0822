"""Lucy's own events: of which nodes each tells, and that nobody else can say them."""

from typing import Any

import pytest

import lucy_core as lucy
from lucy_core.faults import Disconnect, Drop
from lucy_core.records.event import event_type
from lucy_core.records.journal import (
    JOURNAL,
    CommandEnded,
    EngineNotice,
    FaultEffective,
    MarkTaken,
    NodeExited,
    RunDecided,
    about,
    is_of,
    tells_of_nodes,
)
from lucy_core.records.record import Event, Record


def event(node: str, data: Any) -> Event[Any]:
    return Event(node, 0, 0, Record(raw=b"", text=""), data)


@pytest.mark.parametrize(
    ("data", "nodes"),
    (
        (NodeExited("a", "exited with code 1"), ("a",)),
        (CommandEnded(1, "a", "stop", 0.1, "done"), ("a",)),
        (EngineNotice("a", "died"), ("a",)),
        (FaultEffective(1, Disconnect(("a", "b"))), ("a", "b")),
        (FaultEffective(1, Drop(("a",), ("b", "c"))), ("a", "b", "c")),
        (MarkTaken(1, 7), ()),
        (RunDecided("passed"), ()),
    ),
)
def test_an_event_of_lucys_is_about_the_nodes_that_it_names(data: Any, nodes: tuple[str, ...]) -> None:
    assert about(event(JOURNAL, data)) == nodes
    assert tells_of_nodes(event_type(type(data))) is bool(nodes)


@pytest.mark.parametrize("data", (NodeExited("a", "forged"), Record(raw=b"x", text="x")))
def test_whatever_a_node_writes_is_about_that_node(data: Any) -> None:
    assert about(event("b", data)) == ("b",)


def test_a_record_of_the_journal_is_lucys_own() -> None:
    assert about(event(JOURNAL, Record(raw=b"x", text="x"))) == (JOURNAL,)


def test_the_journals_name_means_all_that_stands_in_it() -> None:
    assert is_of(event(JOURNAL, MarkTaken(1, 7)), ("lucy",))
    assert is_of(event(JOURNAL, NodeExited("a", "x")), ("lucy",))
    assert is_of(event(JOURNAL, NodeExited("a", "x")), ("b", "a"))
    assert not is_of(event(JOURNAL, NodeExited("a", "x")), ("b",))
    assert not is_of(event(JOURNAL, MarkTaken(1, 7)), ("a",))


def test_no_node_but_lucy_can_write_lucys_events() -> None:
    record = Record(raw=b"", text="x", id="lucy.node_exited")
    assert event_type(lucy.NodeExited).matches(record, JOURNAL)
    assert not event_type(lucy.NodeExited).matches(record, "a")
