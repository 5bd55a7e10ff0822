"""Lucy's end of the pump: starting it, asking it, hearing how far it is."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import final

import anyio
import msgspec

import lucy_engines
from lucy_core.errors import CarrierDiedError, DeployError, HelperDiedError
from lucy_core.helpers.helper import LastWords, how_it_ended, own_pidfd, until_ended
from lucy_engines.docker.api.endpoint import Endpoint

_BOOT = (
    # The façade of the engine would cost 300 ms of imports that the pump has no use for: empty modules with the
    # packages' paths stand in for it, so that its own modules have their real names.
    "import sys, types\n"
    "root = sys.argv.pop(1)\n"
    "for name in ('lucy_engines', 'lucy_engines.docker'):\n"
    "    shell = sys.modules[name] = types.ModuleType(name)\n"
    "    shell.__path__ = ['/'.join((root, *name.split('.')[1:]))]\n"
    "from lucy_engines.docker.run.pump import main; main(sys.argv[1:])"
)


class _Message(msgspec.Struct):
    """Anything that the pump says."""

    id: int | None = None
    error: str | None = None
    mark: str | None = None
    number: int = 0
    opened: str | None = None
    closed: str | None = None
    broken: str | None = None
    reason: str = ""


_decode = msgspec.json.Decoder(_Message).decode


@final
class PumpClient:
    """A running pump. `listen` has to run for as long as it is used; `dispose` ends it."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            DeployError: no process can be started.
        """
        self._words = LastWords()
        try:
            with own_pidfd() as lucy:
                process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                    [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(lucy_engines.__file__).parent), str(lucy)],
                    pass_fds=(lucy,),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._words.fileno(),
                    start_new_session=True,
                    cwd="/",
                )
        except OSError as error:
            self._words.close()
            message = f"the pump, which carries nodes' lines, does not start: {error.strerror}"
            raise DeployError(message) from error
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # pipes were asked for
        self._process = process
        self._input = process.stdin.fileno()
        self._output = process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._last = 0
        self._replies: dict[int, _Message] = {}
        self._news = anyio.Event()
        self._asking = anyio.Lock()
        self._marks: dict[str, int] = defaultdict(int)
        self._open: dict[str, int] = defaultdict(int)
        self.broken: dict[str, str] = {}
        """Nodes whose stream made no sense, and why."""
        self.died: HelperDiedError | None = None
        """How it ended, where it did so by itself."""

    async def _ask(self, op: str, **arguments: object) -> _Message:
        self._last += 1
        number = self._last
        text = msgspec.json.encode({"id": number, "op": op, **arguments}) + b"\n"
        async with self._asking:
            while text and not self.died:
                try:
                    text = text[os.write(self._input, text) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._input)
                except BrokenPipeError:
                    break
        while number not in self._replies:
            if self.died is not None:
                raise self.died
            await self._news.wait()
        return self._replies.pop(number)

    async def attach(self, node: str, fifo: Path, endpoint: Endpoint, container: str, token: str) -> None:
        """Carry a container's stderr into a FIFO from now on. Call it before the container is started.

        Raises:
            DeployError: the Engine can't be reached for it, or refused; or the FIFO can't be opened.
        """
        more = {"fifo": str(fifo), "container": container, "token": token}
        reply = await self._ask("attach", node=node, host=endpoint.text, **more)
        if reply.error is not None:
            message = f"node {node!r}: can't attach to its container's output: {reply.error}"
            raise DeployError(message)

    async def passed(self, node: str, number: int) -> bool:
        """Wait until all that was written before a node's end of this number is in its FIFO. False if it never will."""
        while self._marks[node] < number and self._open[node] and not self.died:
            await self._news.wait()
        return self._marks[node] >= number

    async def emptied(self, node: str) -> None:
        """Wait until no connection brings lines of a node any more, and all that came is in its FIFO."""
        while self._open[node] and not self.died:
            await self._news.wait()

    async def listen(self) -> None:
        """Hear what it says until it ends; by itself, if nobody has called `dispose`."""
        text = b""
        while True:
            try:
                await anyio.wait_readable(self._output)
            except anyio.ClosedResourceError:
                return
            try:
                chunk = os.read(self._output, 1 << 16)
            except BlockingIOError:
                continue
            if not chunk:
                break
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                self._understand(_decode(line))
            self._tell()
        await until_ended(self._process)
        pump, how = "the pump, which carries nodes' lines", how_it_ended(self._process.wait())
        self.died = CarrierDiedError(pump, self._process.pid, how, self._words.last_line())
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    def _understand(self, message: _Message) -> None:
        if message.id is not None:
            self._replies[message.id] = message
        elif message.mark is not None:
            self._marks[message.mark] = message.number
        elif message.opened is not None:
            self._open[message.opened] += 1
        elif message.closed is not None:
            self._open[message.closed] -= 1
        elif message.broken is not None:
            self.broken[message.broken] = message.reason

    def dispose(self) -> None:
        """End it. What it has taken and not yet put into a FIFO is lost: nodes are to be ended first."""
        # Whoever waits for the descriptor must not wait for whatever gets its number next.
        anyio.notify_closing(self._output)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()
        self._words.close()
