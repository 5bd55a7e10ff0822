"""Calls of the Engine's API without a loop, for helpers: a connection a call, so nothing to keep open or to lose.

Standard library only. A few lines of HTTP/1.0, in which an answer ends where the connection does: `http.client`, with
all that it imports, would double what the start of a reaper costs every run.
"""

import json
from typing import Any, final
from urllib.parse import urlencode

from lucy_engines.docker.api.endpoint import Endpoint

ANSWER_SECONDS = 60.0
"""An Engine with a hundred containers to kill takes its time for one of them."""


class Refusal(Exception):  # noqa: N818  # no error of Lucy's: an answer
    """The Engine answered, and the answer was no.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@final
class Caller:
    """Asks one Engine."""

    def __init__(self, endpoint: Endpoint, seconds: float = ANSWER_SECONDS) -> None:
        """Ask there; `seconds` is how long to wait for the Engine at a time."""
        self.endpoint = endpoint
        self._seconds = seconds

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Ask the Engine, with JSON where there is a body, and return what it says.

        Raises:
            Refusal: it said no.
            OSError: it can't be reached, or breaks off.
        """
        with self.endpoint.connect(self._seconds) as connection:
            given = b"" if body is None else json.dumps(body).encode()
            kind = f"Content-Type: application/json\r\nContent-Length: {len(given)}\r\n" if given else ""
            head = f"{method} /{path}?{urlencode(query)} HTTP/1.0\r\nHost: docker\r\n{kind}\r\n"
            connection.sendall(head.encode() + given)
            chunks = []
            while chunk := connection.recv(1 << 18):
                chunks.append(chunk)
        head_said, _, said = b"".join(chunks).partition(b"\r\n\r\n")
        status = head_said.split(b" ", 2)[1:2]
        if not status or not status[0].isdigit():
            raise OSError(f"no answer of HTTP: {head_said[:80]!r}")
        try:
            answer = json.loads(said) if said.strip() else None
        except ValueError as error:
            raise OSError(f"the answer breaks off after {len(said)} bytes, or is no JSON: {said[:80]!r}") from error
        if int(status[0]) >= 300:
            text = answer["message"] if isinstance(answer, dict) and "message" in answer else repr(said[:200])
            raise Refusal(int(status[0]), str(text))
        return answer
