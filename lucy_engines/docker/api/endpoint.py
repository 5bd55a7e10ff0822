"""Where a Docker Engine listens, and how to get there: the one place that knows what `DOCKER_HOST` may say.

Standard library only, since helpers reach the Engine too, that run without the rest of Lucy and without a loop.
"""

import os
import socket
from typing import TYPE_CHECKING, final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import ssl

USUAL = "unix:///var/run/docker.sock"
PORT, TLS_PORT = 2375, 2376
KINDS = "give unix:///path, tcp://host:port or https://host:port"
_SHOWN = 60


def named_host(option: str | None = None) -> str | None:
    """Return the address that somebody gave: that of an option, else that of `DOCKER_HOST`."""
    return option or os.environ.get("DOCKER_HOST") or None


def docker_host() -> str:
    """Return the Engine's address where no option names one: that of `DOCKER_HOST`, else the usual socket."""
    return named_host() or USUAL


def is_local(host: str) -> bool:
    """Tell whether the Engine at an address sees this machine's files."""
    return host.startswith("unix://")


def api_path(*parts: str) -> str:
    """Return a path of the Engine's API, each part of it quoted: an image's name holds slashes, and may hold more.

    It carries no version: every Engine takes such a one as of its own.
    """
    return "/".join(quote(part, safe="") for part in parts)


def send_at_once(connection: socket.socket) -> None:
    """Have small writes over TCP not wait for the last one's acknowledgement: 27 ms at the 99th percentile."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class AddressError(ValueError):
    """This is no address of an Engine; `KINDS` says what is.

    Attributes:
        found: what is wrong with it.
    """

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(f"{found}; {KINDS}")


@final
class Endpoint:
    """A unix socket, or a host and port with or without TLS."""

    __slots__ = ("_context", "host", "path", "port", "text", "tls")

    def __init__(self, text: str) -> None:
        """Understand an address as `DOCKER_HOST` has it: that of `tcp` is with TLS where `DOCKER_TLS_VERIFY` is set.

        Raises:
            AddressError: it is of no kind that we speak.
        """
        self.text = text
        self._context: ssl.SSLContext | None = None
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise AddressError(f"this is no address ({error})") from error
        self.path = text.removeprefix("unix://") if parts.scheme == "unix" else None
        self.tls = parts.scheme == "https" or (parts.scheme == "tcp" and bool(os.environ.get("DOCKER_TLS_VERIFY")))
        self.host = parts.hostname or "127.0.0.1"
        self.port = 0 if self.path is not None else port or (TLS_PORT if self.tls else PORT)
        if parts.scheme not in {"unix", "tcp", "http", "https"}:
            raise AddressError(f"{(parts.scheme or text)[:_SHOWN]!r} is no way to an Engine that Lucy knows")

    @property
    def url(self) -> str:
        """Where its HTTP is, as a client of HTTP has it."""
        if self.path is not None:
            return "unix://localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def tls_context(self) -> "ssl.SSLContext":
        """Return a context with what is in `DOCKER_CERT_PATH`, or else `~/.docker`; where nothing is, the system's."""
        if self._context is None:
            import ssl  # 12 ms, and few Engines are asked with TLS

            given = os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
            authority, own = f"{given}/ca.pem", f"{given}/cert.pem"
            self._context = ssl.create_default_context(cafile=authority if os.path.exists(authority) else None)
            if os.path.exists(own):
                self._context.load_cert_chain(own, f"{given}/key.pem")
        return self._context

    def connect(self, seconds: float) -> socket.socket:
        """Open a connection, blocking; each of its calls may then block for so long.

        Raises:
            OSError: nobody can be reached there.
        """
        if self.path is not None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(seconds)
                connection.connect(self.path)
            except BaseException:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((self.host, self.port), seconds)
        send_at_once(connection)
        return self.tls_context().wrap_socket(connection, server_hostname=self.host) if self.tls else connection
