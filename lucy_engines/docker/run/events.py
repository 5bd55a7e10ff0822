"""What a Docker Engine says of a run's containers, at once: that one died, ran out of memory, changed its health.

One stream for the whole run, filtered by its label in the Engine. A stream that breaks is opened again from the moment
of its last event, so that nothing between is missed; an Engine that doesn't come back ends the run.
"""

import contextlib
import json
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, final

import aiohttp
import anyio
import msgspec
from aiodocker.exceptions import DockerError

from lucy_engines.docker.api.client import EngineClient, unreachable
from lucy_engines.docker.plan import labels

RETURN_SECONDS = 3.0
"""How long an Engine may be away; a restart takes one second."""
RETRY_SECONDS = 0.1
RECENT = 1000
"""Events of a second or two, of a hundred containers that all die in it."""
ACTIONS = ("die", "oom", "health_status")


class ContainerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a node's container."""

    node: str
    action: str
    """`die`, `oom` or `health_status`."""
    detail: str = ""
    """For `health_status` what it is now."""
    exit_code: int = 0
    time_ns: int = 0


def container_event(said: dict[str, Any]) -> ContainerEvent | None:
    """Read one event as the Engine writes it, or return None for what is no node's."""
    attributes = said.get("Actor", {}).get("Attributes", {})
    node = attributes.get(labels.NODE)
    action, _, detail = str(said.get("Action", "")).partition(": ")
    if node is None or action not in ACTIONS:
        return None
    return ContainerEvent(
        node=node,
        action=action,
        detail=detail,
        exit_code=int(attributes.get("exitCode", 0)),
        time_ns=int(said.get("timeNano", 0)),
    )


@final
class Heard:
    """Which events were heard already, where a stream that is opened again repeats some. Sans-IO.

    Not by their times alone: the Engine stamps an event before it queues it, so that of two containers that die at once
    the later one may come first.
    """

    def __init__(self, began: int = 0) -> None:
        """Begin with the second from which on events are wanted, or 0: from now."""
        self._began = began
        self._recent: deque[ContainerEvent] = deque(maxlen=RECENT)
        self._newest_ns = 0

    @property
    def since(self) -> int:
        """From which second on a stream has to repeat itself so that nothing is missed, or 0: from now."""
        return max(self._began, self._newest_ns // 10**9 - 1)

    def is_news(self, event: ContainerEvent) -> bool:
        """Tell whether an event was not heard before; from now on it was."""
        if event in self._recent:
            return False
        self._recent.append(event)
        self._newest_ns = max(self._newest_ns, event.time_ns)
        return True


@final
class ContainerEvents:
    """The events of one run. `watch` has to run for as long as they are wanted."""

    def __init__(self, client: EngineClient, run_id: str, hear: Callable[[ContainerEvent], None]) -> None:
        self._client = client
        self._run_id = run_id
        self._hear = hear
        self._heard = Heard(client.began)

    async def watch(self) -> None:
        """Hear events for as long as there is an Engine.

        Raises:
            EngineUnavailableError: it has ended, or let nobody in any more.
        """
        while True:
            # Why it broke is the business of who asks next.
            with contextlib.suppress(DockerError, aiohttp.ClientError, OSError):
                await self._listen()
            await self._see_it_return()

    async def _listen(self) -> None:
        wanted: dict[str, list[str]] = {
            "label": [labels.run_label(self._run_id)],
            "type": ["container"],
            "event": list(ACTIONS),
        }
        since = {"since": str(self._heard.since)} if self._heard.since else {}
        async with aclosing(self._client.lines("events", filters=json.dumps(wanted), **since)) as lines:
            async for said in lines:
                event = container_event(said)
                if event is not None and self._heard.is_news(event):
                    self._hear(event)

    async def _see_it_return(self) -> None:
        deadline = anyio.current_time() + RETURN_SECONDS
        while True:
            try:
                with anyio.fail_after(RETURN_SECONDS):
                    await self._client.ping()
            except TimeoutError as error:
                raise self._client.hangs("its stream of events broke, and it does not answer") from error
            except (DockerError, aiohttp.ClientError, OSError) as error:
                if anyio.current_time() > deadline:
                    found, advice = unreachable(error, "go on")
                    raise self._client.died(f"it ended in the middle of the run: {found}", advice) from error
                await anyio.sleep(RETRY_SECONDS)
            else:
                return
