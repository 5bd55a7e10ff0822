"""Lucy's end of the warden: starting it with the first fault, asking it, hearing what was lost."""

import secrets
from collections.abc import Callable, Mapping
from typing import TypeVar, final

import msgspec

from lucy_core.engine import Fault, Services
from lucy_core.errors import FaultError, HelperDiedError, HelperStartError, UnsupportedError
from lucy_core.helpers.forms import Form
from lucy_core.helpers.helper import Helper, Refused
from lucy_engines.docker.faults.orders import FaultPlace, Inject, Injected, Lost, Revert, Reverted

R = TypeVar("R", bound=Form)
END_SECONDS = 20.0
"""How long the end of a run waits for faults to be undone; the warden goes on by itself if it takes longer."""


@final
class WardenClient:
    """The warden of one run. Costs nothing until the first fault."""

    def __init__(self, host: str, services: Services) -> None:
        self._host = host
        self._services = services
        self._helper: Helper | None = None
        self._on_lost: dict[int, Callable[[str], None]] = {}
        self._last = 0

    async def inject(
        self, fault: Fault, places: Mapping[str, FaultPlace], *, lasting: float, on_lost: Callable[[str], None]
    ) -> int:
        """Have a fault made; return the number under which it is known.

        Raises:
            UnsupportedError: this machine can't do it.
            FaultError: it could not be made.
        """
        amounts = msgspec.to_builtins(fault)
        kind, nodes, others = amounts.pop("type"), tuple(amounts.pop("nodes")), tuple(amounts.pop("others", ()))
        self._last += 1
        number = self._last
        self._on_lost[number] = on_lost
        order = Inject(number, kind, nodes, others, amounts, lasting, dict(places))
        try:
            reply = await self._ask(fault, order, Injected)
        except Refused as refused:
            del self._on_lost[number]
            raise FaultError(fault.kind, f"it could not be made: {refused.reason}") from refused
        if reply.unable is not None:
            del self._on_lost[number]
            raise UnsupportedError("docker", fault.kind, reply.unable)
        return number

    async def revert(self, fault: Fault, number: int) -> float:
        """Have a fault undone; return for how many seconds it was in effect.

        Raises:
            FaultError: it could not be undone.
        """
        try:
            reply = await self._ask(fault, Revert(number), Reverted)
        except Refused as refused:
            why = f"it could not be undone: {refused.reason}; `docker rm -f` ends it"
            raise FaultError(fault.kind, why) from refused
        self._on_lost.pop(number, None)
        return reply.seconds

    async def _ask(self, fault: Fault, order: Form, reply: type[R]) -> R:
        try:
            return await self._started().ask(order, reply)
        except (HelperStartError, HelperDiedError) as error:
            raise FaultError(fault.kind, str(error)) from error

    def _started(self) -> Helper:
        if self._helper is None:
            self._helper = Helper(
                "the warden, the process that makes and ends faults",
                "lucy_engines.docker.faults.warden",
                *(self._host, f"LUCY-{secrets.token_hex(4)}"),
                hear={Lost: self._lost},
            )
            self._services.start(self._listen)
        return self._helper

    async def _listen(self) -> None:
        helper = self._started()
        await helper.listen()
        for call in tuple(self._on_lost.values()):
            call(f"{helper.death}; it may still be in effect")

    def _lost(self, lost: Lost) -> None:
        if lost.number in self._on_lost:
            self._on_lost[lost.number](lost.why)

    async def close(self) -> None:
        """Have all faults undone and the warden end. For a shielded caller; again does nothing."""
        if self._helper is None:
            return
        self._on_lost.clear()
        await self._helper.end(END_SECONDS)
        self._helper.leave()
