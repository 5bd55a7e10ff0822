"""The Docker engine's part of `lucy gc`."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import final

import anyio.to_thread

from lucy_core.engine import Leftover, Remark, Search
from lucy_core.errors import EngineUnavailableError
from lucy_engines.docker.api.caller import Caller, Refusal
from lucy_engines.docker.api.endpoint import KINDS, USUAL, AddressError, Endpoint, named_host
from lucy_engines.docker.garbage.leftovers import leftovers
from lucy_engines.docker.garbage.things import Thing, find, sweep
from lucy_engines.docker.plan.labels import RUN, Owner, start_ticks
from lucy_engines.docker.plan.options import DOCKER_HOST


@final
class DockerCollector:
    """Finds and removes what bears a label of Lucy's in an Engine, and whose Lucy is gone."""

    options = (DOCKER_HOST,)

    def __init__(self) -> None:
        self._caller = Caller(Endpoint(USUAL))
        self._things: dict[str, Thing] = {}

    async def find(self, search: Search) -> list[Leftover]:
        """Ask the Engine of `docker_host`, of DOCKER_HOST, or of this machine, where none is no failure.

        Raises:
            EngineError: it doesn't answer.
        """
        named = named_host(search.options.get("docker_host"))
        if named is None and not Path(USUAL.removeprefix("unix://")).exists():
            return []
        host = named or USUAL
        try:
            endpoint = Endpoint(host)
        except AddressError as error:
            raise EngineUnavailableError(host, error.found, KINDS) from error
        self._caller = Caller(endpoint)
        try:
            things = await anyio.to_thread.run_sync(find, self._caller, RUN)
        except (OSError, Refusal) as error:
            found = f"it gives no list of what it has: {error}"
            raise EngineUnavailableError(host, found, "is it running, and may you use it?") from error
        self._things = {thing.key: thing for thing in things}
        return leftovers(things, search, me=Owner.me(), lives=_lives, now=time.time())

    async def remove(self, leftovers: Sequence[Leftover]) -> list[str | Remark | None]:
        things = [self._things.get(each.key, Thing(each.kind, each.key, each.name, {})) for each in leftovers]
        done = await anyio.to_thread.run_sync(sweep, self._caller, things)
        outcomes = {
            removal.thing.key: removal.trouble or (Remark(removal.remark) if removal.remark else None)
            for removal in done
        }
        return [outcomes[each.key] for each in leftovers]


def _lives(owner: Owner) -> bool:
    ticks = start_ticks(owner.pid)
    if ticks is None and not Path(f"/proc/{owner.pid}").exists():
        # Another user's process may be hidden (`hidepid`): what can't be looked at is not called dead.
        try:
            os.kill(owner.pid, 0)
        except PermissionError:
            return True
        except OSError:
            return False
    return ticks == owner.start_ticks
