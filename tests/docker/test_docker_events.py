"""What an Engine says of containers, read and remembered."""

import asyncio
import json
from pathlib import Path

import anyio
from engines import VERSION, Serving, serving
from hypothesis import given
from hypothesis import strategies as st

from lucy_engines.docker.api.client import connect
from lucy_engines.docker.run.events import ContainerEvent, ContainerEvents, Heard, container_event


def died(node: str, at: int) -> ContainerEvent:
    return ContainerEvent(node=node, action="die", exit_code=137, time_ns=at)


def test_what_comes_again_after_a_reconnection_is_no_news() -> None:
    heard = Heard()
    events = [died("a", 5_000_000_001), died("b", 5_000_000_002), died("a", 7_000_000_000)]
    assert [heard.is_news(event) for event in events] == [True, True, True]
    assert heard.since == 6
    assert [heard.is_news(event) for event in (*events, died("c", 7_000_000_001))] == [False, False, False, True]


@given(st.permutations([died(name, 3_000_000_000 + at) for at, name in enumerate("abcde")]))
def test_events_of_one_moment_are_each_heard_in_whatever_order_they_come(events: list[ContainerEvent]) -> None:
    heard = Heard()
    assert all(heard.is_news(event) for event in events)
    assert not any(heard.is_news(event) for event in events)
    assert heard.since == 2


def test_before_the_first_event_nothing_is_asked_for_again() -> None:
    assert Heard().since == 0


def test_what_is_no_nodes_is_passed_over() -> None:
    attributes = {"lucy.node": "a", "exitCode": "3"}
    said = {"Action": "die", "timeNano": 12, "Actor": {"Attributes": attributes}}
    assert container_event(said) == ContainerEvent(node="a", action="die", exit_code=3, time_ns=12)
    assert container_event({**said, "Action": "create"}) is None
    assert container_event({**said, "Actor": {"Attributes": {}}}) is None
    health = container_event({**said, "Action": "health_status: unhealthy"})
    assert health is not None
    assert (health.action, health.detail) == ("health_status", "unhealthy")


async def test_a_stream_that_breaks_before_its_first_event_is_asked_for_all_since_the_session_began(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    said = {"Action": "die", "timeNano": 5, "Actor": {"Attributes": {"lucy.node": "a", "exitCode": "3"}}}
    bodies = [VERSION, None, "OK", said]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head.split(b" ")[1].decode())
            body = bodies.pop(0) if bodies else "OK"
            text = json.dumps(body).encode() + b"\n"
            date = "Date: Mon, 30 Nov 2026 12:00:00 GMT"
            writer.write(f"HTTP/1.1 200 OK\r\n{date}\r\nContent-Length: {len(text)}\r\n\r\n".encode())
            if body is None:
                return  # the stream breaks
            writer.write(text)

    heard: list[ContainerEvent] = []
    async with (
        serving(Serving(serve), tmp_path / "docker.sock"),
        connect(f"unix://{tmp_path}/docker.sock") as client,
        anyio.create_task_group() as tasks,
    ):

        def hear(event: ContainerEvent) -> None:
            heard.append(event)
            tasks.cancel_scope.cancel()

        await ContainerEvents(client, "run", hear).watch()

    assert [each.partition("?")[0] for each in asked][:4] == ["/version", "/events", "/_ping", "/events"]
    assert all("since=1796040000" in each for each in asked if each.startswith("/events"))
    assert [each.node for each in heard] == ["a"]
