"""A session with a Docker Engine, in which every failure is one sentence that says what to do.

aiodocker speaks the API; the session under it is ours, for two reasons: aiohttp's default of 100 connections would have
the hundredth stream block all calls, and each call has a time limit, since a hung Engine answers nothing for ever.

An Engine that was found dead stays dead: every later call is refused at once, so that taking a network down costs no
timeout a call.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, final

import aiodocker
import aiohttp
import anyio
from aiodocker.exceptions import DockerError

from lucy_core.errors import DeployError, EngineError, EngineUnavailableError

OLDEST = (1, 41)
DEFAULT_HOST = "unix:///var/run/docker.sock"
PING_SECONDS = 10.0
CALL_SECONDS = 60.0
"""The longest of our calls is a container's start: 0.2 s alone, 13 s when a hundred start at once."""


def docker_host(option: str | None) -> str:
    """Return the address of the Engine: what was asked for, else `DOCKER_HOST`, else the usual socket."""
    return option or os.environ.get("DOCKER_HOST") or DEFAULT_HOST


@final
class EngineClient:
    """An open session. Made by `connect`."""

    def __init__(self, host: str, docker: aiodocker.Docker) -> None:
        self.host = host
        self.docker = docker
        self.version: Mapping[str, Any] = {}
        self.dead: EngineUnavailableError | None = None
        """Why no call can succeed any more."""

    @property
    def unix_path(self) -> str | None:
        """The Engine's socket, where it is one of this machine."""
        return self.host.removeprefix("unix://") if self.host.startswith("unix://") else None

    @contextmanager
    def call(self, what: str, *, seconds: float = CALL_SECONDS) -> Iterator[None]:
        """Bound and translate the failures of the calls within; `what` says what they do, as in `create network x`.

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
            found = f"it did not {what} within {seconds:g} s"
            self.dead = EngineUnavailableError(
                self.host, found, "it hangs; look at `docker info` and its log, and restart it"
            )
            raise self.dead from error
        except (DockerError, aiohttp.ClientError, OSError) as error:
            raise self.explain(error, what) from error

    def explain(self, error: Exception, what: str) -> EngineError:
        """Make of a failed call the error that says what to do."""
        if isinstance(error, DockerError) and error.status not in (0, 900):
            return DeployError(refusal(error.status, error.message, what))
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        unavailable = EngineUnavailableError(self.host, *unreachable(cause, what))
        self.dead = unavailable
        return unavailable

    async def get(self, path: str, **params: Any) -> Any:
        """Ask the API for JSON."""
        return await self.docker._query_json(path, params=params)  # noqa: SLF001  # aiodocker's own building block

    async def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """Post JSON to the API."""
        return await self.docker._query_json(path, "POST", params=params, data=body)  # noqa: SLF001  # as above

    async def delete(self, path: str, **params: Any) -> None:
        """Delete something through the API."""
        await self.docker._query_json(path, "DELETE", params=params)  # noqa: SLF001  # as above


def unreachable(cause: BaseException | None, what: str) -> tuple[str, str]:
    """Say what was found where an Engine should be, and what to do."""
    match cause:
        case FileNotFoundError():
            return "there is no such socket", "start it (`systemctl start docker`), or name another with --docker-host"
        case PermissionError():
            return (
                "its socket refuses you",
                "add yourself to its group (`sudo usermod -aG docker $USER`, then log in again), or run as root",
            )
        case ConnectionRefusedError():
            return "nobody answers there", "it has ended; start it (`systemctl start docker`)"
        case asyncio.IncompleteReadError() | ConnectionResetError() | aiohttp.ServerDisconnectedError():
            return f"it hung up when asked to {what}", "it has ended; look at its log and start it again"
        case _:
            return f"it could not be asked to {what} ({cause})", "look at `docker info`"


def refusal(status: int, text: str, what: str) -> str:
    """Say why an Engine refused a call, and what to do."""
    low = text.lower()
    if "no such image" in low:
        image = text.rpartition("image: ")[2] or text
        return f"the Docker Engine has no image {image}; `docker pull` or build it, or name another with --mina-image"
    if "no space left on device" in low:
        return f"the Docker Engine's disk is full (can't {what}); make room, for instance with `docker system df`"
    if "port is already allocated" in low or "address already in use" in low:
        return f"can't {what}: a port is taken ({text}); end what uses it, or let Lucy choose"
    if "address pool" in low:
        return f"can't {what}: the Engine has no addresses left for networks; `lucy gc` removes those of dead runs"
    return f"the Docker Engine refused to {what}: {text.strip()} (status {status})"


@asynccontextmanager
async def connect(host: str) -> AsyncIterator[EngineClient]:
    """Open a session, and see that an Engine answers that is new enough.

    Raises:
        EngineUnavailableError: there is none, it doesn't let us in, or it is too old.
    """
    if host.startswith("unix://"):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(host.removeprefix("unix://"), limit=0)
        url = "unix://localhost"
    elif host.startswith(("tcp://", "http://", "https://")):
        connector = aiohttp.TCPConnector(limit=0)
        url = host
    else:
        raise EngineUnavailableError(host, "that is no address of an Engine", "write unix:///path or tcp://host:port")
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        docker = aiodocker.Docker(url, connector=connector, session=session)
        client = EngineClient(host, docker)
        with client.call("say its version", seconds=PING_SECONDS):
            client.version = await docker._query_json("version", versioned_api=False)  # noqa: SLF001  # sets it for all
        check_version(host, str(client.version.get("ApiVersion", "")))
        docker.api_version = f"v{client.version['ApiVersion']}"
        yield client


def check_version(host: str, version: str) -> None:
    """Refuse an Engine that is too old.

    Raises:
        EngineUnavailableError: naming both versions.
    """
    try:
        numbers = tuple(int(part) for part in version.split("."))
    except ValueError:
        raise EngineUnavailableError(
            host, f"it calls its API version {version!r}", "is that a Docker Engine?"
        ) from None
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineUnavailableError(
            host, f"its API is {version}, and Lucy needs {oldest}", "update it to Docker 20.10 or later"
        )
