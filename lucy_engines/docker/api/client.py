"""A session with a Docker Engine, in which every failure is one sentence that says what to do.

aiodocker speaks the API: `docker` has a call for each thing in it. The session under it is ours, and what aiodocker
can't do goes over that: aiohttp's default of 100 connections would have the hundredth stream block all calls, and of a
stream that is left before its end aiodocker leaves the connection open. Each call has a time limit, since a hung Engine
answers nothing for ever.

An Engine that was found dead stays dead: every later call is refused at once, so that taking a network down costs no
timeout a call.
"""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, final

import aiodocker
import aiohttp
import anyio
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError
from aiodocker.networks import DockerNetwork
from aiodocker.volumes import DockerVolume

from lucy_core.errors import EngineError, EngineUnavailableError, RefusedError
from lucy_engines.docker.api.endpoint import KINDS, AddressError, Endpoint

OLDEST = (1, 41)
PING_SECONDS = 10.0
CALL_SECONDS = 60.0
"""The longest of our calls is a container's start: 0.2 s alone, 13 s when a hundred start at once."""
START_IT = "start it (`sudo systemctl start docker`), or name another with --docker-host"


@final
class EngineClient:
    """An open session. Made by `connect`."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.endpoint = endpoint
        self.docker = aiodocker.Docker(
            endpoint.url, connector=session.connector, session=session, api_version=f"v{OLDEST[0]}.{OLDEST[1]}"
        )
        self.dead: EngineUnavailableError | None = None
        """Why no call can succeed any more."""
        self.began = 0
        """By the Engine's clock, in seconds, when the session began; 0 where it doesn't say."""
        self._session = session

    @contextmanager
    def calling(self, what: str, *, seconds: float = CALL_SECONDS) -> Iterator[None]:
        """Bound the calls within, and translate their failures; `what` names them, as in `create network x`.

        Raises:
            EngineUnavailableError: the Engine can't be reached, or didn't answer in time.
            DeployError: it refused.
        """
        if self.dead is not None:
            raise self.dead
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError as error:
            raise self.hangs(f"it did not {what} within {seconds:g} s") from error
        except (DockerError, aiohttp.ClientError, OSError) as error:
            raise self.explain(error, what) from error

    def hangs(self, found: str) -> EngineUnavailableError:
        """Take note that it doesn't answer, and return the error that says so."""
        return self.died(found, "it hangs; look at its log, and restart it")

    def died(self, found: str, advice: str) -> EngineUnavailableError:
        """Take note that it can't be used any more, and return the error that says so."""
        self.dead = EngineUnavailableError(self.endpoint.text, found, advice)
        return self.dead

    def explain(self, error: Exception, what: str) -> EngineError:
        """Make of a failed call the error that says what to do."""
        if isinstance(error, DockerError) and is_answer(error):
            return RefusedError(what, error.status, refusal(error.status, error.message))
        return self.died(*unreachable(error, what))

    def container(self, number: str) -> DockerContainer:
        """Return what the calls for one container start from; nobody is asked yet."""
        return self.docker.containers.container(number)

    def network(self, name: str) -> DockerNetwork:
        """Return what the calls for one network start from."""
        return DockerNetwork(self.docker, name)  # type: ignore[no-untyped-call]

    def volume(self, name: str) -> Any:
        """Return what the calls for one volume start from, of which aiodocker gives no types."""
        return DockerVolume(self.docker, name)  # type: ignore[no-untyped-call]

    async def ping(self) -> None:
        async with self._got("_ping", {}) as response:
            await response.read()

    async def get(self, path: str, /, **params: str) -> Any:
        """Ask for JSON as aiodocker can't."""
        async with self._got(path, params) as response:
            return json.loads(await response.read())

    async def lines(self, path: str, /, **params: str) -> AsyncGenerator[Any]:
        """Ask for JSON values without end, a line each. Close it (`aclosing`)."""
        async with self._got(path, params) as response:
            async for line in response.content:
                if line.strip():
                    yield json.loads(line)

    @asynccontextmanager
    async def _got(self, path: str, params: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._session.get(f"{self.endpoint.url}/{path}", params=params) as response:
            if response.status >= 400:
                raise DockerError(response.status, (await response.text()).strip())
            yield response


def is_answer(error: DockerError) -> bool:
    """Tell whether an Engine said so; 0 and 900 are aiodocker's own, for one that it couldn't ask."""
    return error.status not in (0, 900)


def unreachable(error: BaseException, what: str) -> tuple[str, str]:
    """Say what was found where an Engine should be, and what to do.

    aiodocker raises one error of its own for all that goes wrong below it; what it was is in its context.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError | aiohttp.ServerDisconnectedError):
        cause = cause.__cause__ or cause.__context__
    while isinstance(cause, aiohttp.ClientConnectorError):
        cause = cause.os_error
    match cause:
        case FileNotFoundError():
            return "there is no such socket", START_IT
        case PermissionError():
            return (
                "its socket refuses you",
                "join its group (`sudo usermod -aG docker $USER`, then log in again), or run as root",
            )
        case ConnectionRefusedError():
            return "nobody answers there", START_IT
        case ConnectionResetError() | BrokenPipeError() | aiohttp.ServerDisconnectedError():
            return f"it hung up when asked to {what}", "it has ended; look at its log, and start it again"
        case _:
            return f"it could not be asked to {what} ({cause or error})", "look at `docker info`"


def refusal(status: int, text: str) -> str:
    """Say why an Engine refused a call, and what to do."""
    low = text.lower()
    if "no such image" in low:
        image = text.rpartition("image: ")[2] or text
        return f"the Docker Engine has no image {image}; pull or build it, or name another with --mina-image"
    if "no space left on device" in low:
        return "the Docker Engine's disk is full; make room (see `docker system df`)"
    if "port is already allocated" in low or "address already in use" in low:
        return f"a port is taken: {text.strip()}; end what uses it, or let the Engine choose free ports"
    if "address pool" in low:
        return "the Docker Engine has no addresses left; `lucy gc` removes networks of runs that died"
    return f"the Docker Engine refuses: {text.strip()} (status {status})"


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[EngineClient]:
    """Open a session, and see that an Engine answers that is new enough.

    Raises:
        EngineUnavailableError: there is none, it lets nobody in, it hangs, or it is too old.
    """
    try:
        endpoint = Endpoint(address)
    except AddressError as error:
        raise EngineUnavailableError(address, error.found, KINDS) from error
    if endpoint.path is not None:
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(endpoint.path, limit=0)
    else:
        connector = aiohttp.TCPConnector(limit=0, ssl=endpoint.tls_context() if endpoint.tls else True)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
    try:
        client = EngineClient(endpoint, session)
        with client.calling("say its version", seconds=PING_SECONDS):
            # Without a version in the path: an Engine that is too old, or too new, would refuse the question itself.
            async with client._got("version", {}) as response:  # noqa: SLF001  # its maker
                said = json.loads(await response.read())
                with contextlib.suppress(KeyError, ValueError):
                    client.began = int(parsedate_to_datetime(response.headers["Date"]).timestamp())
        client.docker.api_version = f"v{usable_version(endpoint.text, said)}"
        yield client
    finally:
        # A deployment that ends is cancelled by then: a cancellation here would take the place of why it ended.
        with anyio.CancelScope(shield=True):
            await session.close()


def usable_version(address: str, said: Mapping[str, Any]) -> str:
    """Return the API version to speak, which is the Engine's own.

    Raises:
        EngineUnavailableError: it is too old, or no Engine.
    """
    version = str(said.get("ApiVersion", ""))
    try:
        numbers = tuple(int(part) for part in version.split("."))
    except ValueError:
        found = f"what answers calls its API version {version!r}"
        raise EngineUnavailableError(address, found, "see that it is a Docker Engine") from None
    if numbers < OLDEST:
        needed = f"{OLDEST[0]}.{OLDEST[1]}"
        found = f"its API is {version} (Docker {said.get('Version', '?')}), and Lucy needs {needed}"
        raise EngineUnavailableError(address, found, "update it to Docker 20.10 or later")
    return version
