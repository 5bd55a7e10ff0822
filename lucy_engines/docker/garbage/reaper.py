"""The reaper: a process that outlives Lucy and removes what her run made in an Engine, if she couldn't herself.

Standard library only, started by file path, in a session of its own, before the first thing of the run exists. It has a
pidfd of Lucy's, and costs nothing until she has ended, for which `kill -9` of her, of her process group or of her
session is as good as any reason; what she has forked may live on, and hold all else that she had open. Then it removes
everything that bears the run's label. The kernel can't undo a request that Lucy had under way, so it goes on looking
for a while after the last thing it saw.

All its code is loaded at its start: when it is needed, the virtual environment may be gone. Hence a few lines of
HTTP/1.0, in which an answer ends where the connection does: `http.client`, with all that it imports, would double what
the start costs every run.

On the pipe: a line of JSON with the order, then `bye` (all is removed, end) or `sweep` (nothing is under way any more,
remove what is left, once). Whatever else comes is passed over. `lucy gc` removes with the same code.
"""

import contextlib
import json
import os
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, final

ANSWER_SECONDS = 60.0
"""An Engine with a hundred containers to kill takes its time for one of them."""
SETTLE_SECONDS = 5.0
"""For so long after the last sighting a request of a dead Lucy may still make something."""
GIVE_UP_SECONDS = 600.0
"""An Engine that doesn't answer for so long is left to `lucy gc`."""
USER = "lucy.user"
"""A container's label: to whom belongs what root makes in its directory, as `uid:gid`; none where that is root."""
DIRECTORY = "/lucy/node"
"""A node's directory in its container, which is one of this machine's, where the Engine is."""
LOG = "/lucy/log"
GIVE_BACK_SECONDS = 30.0
LINE_BYTES = 1 << 16
"""What is said is shorter."""
AT_ONCE = 8
GONE = 404
CONTAINER, NETWORK, VOLUME = "container", "network", "volume"


class Thing(NamedTuple):
    """Something in an Engine."""

    kind: str
    key: str
    """What the Engine knows it by."""
    name: str
    labels: dict[str, str]
    fifo: str = ""
    """Of a container: the FIFO of this machine's that its node's lines go into, if they do."""


class Refusal(Exception):  # noqa: N818  # no error of Lucy's: an answer
    """The Engine answered, and the answer was no.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


def quoted(text: str) -> str:
    """Percent-encode all that may mean something in a URL."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in text.encode())


def _endpoint(host: str, port: int) -> tuple[str, int] | str:
    scheme, _, rest = host.partition("://")
    if scheme == "unix":
        return rest
    name, _, number = rest.rstrip("/").rpartition(":")
    return (name.strip("[]"), int(number)) if number.isdecimal() else (rest.rstrip("/"), port)


def _tls_context(certificates: str) -> Any:
    """Make the context of `ssl` with what is in a directory, else the system's."""
    import ssl

    authority, own = f"{certificates}/ca.pem", f"{certificates}/cert.pem"
    context = ssl.create_default_context(cafile=authority if os.path.exists(authority) else None)
    if os.path.exists(own):
        context.load_cert_chain(own, f"{certificates}/key.pem")
    return context


@final
class Api:
    """The few calls of the Engine's API that removing takes. A connection a call: nothing to keep open or to lose."""

    def __init__(self, host: str, certificates: str | None = None, timeout: float = ANSWER_SECONDS) -> None:
        """Take an address as `DOCKER_HOST` has it.

        Args:
            host: `unix:///path`, `tcp://host:port`, with TLS where `DOCKER_TLS_VERIFY` is set, or `http://…` `https://…`.
            certificates: a directory of these; by default that of `DOCKER_CERT_PATH`, else `~/.docker`.
            timeout: how long to wait for the Engine at a time.
        """
        self.host = host
        self._timeout = timeout
        scheme = host.partition("://")[0]
        tls = scheme == "https" or (scheme == "tcp" and bool(os.environ.get("DOCKER_TLS_VERIFY")))
        self._endpoint = _endpoint(host, 2376 if tls else 2375)
        given = certificates or os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")
        self._tls: Any = _tls_context(given) if tls else None

    def _connect(self) -> socket.socket:
        if isinstance(self._endpoint, str):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._timeout)
                connection.connect(self._endpoint)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection(self._endpoint, self._timeout)
        if self._tls is not None:
            return self._tls.wrap_socket(connection, server_hostname=self._endpoint[0])  # type: ignore[no-any-return]
        return connection

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Ask the Engine, with JSON where there is a body, and return what it says.

        Raises:
            Refusal: it said no.
            OSError: it can't be reached, or breaks off.
        """
        words = "&".join(f"{name}={quoted(value)}" for name, value in query.items())
        with self._connect() as connection:
            given = b"" if body is None else json.dumps(body).encode()
            kind = f"Content-Type: application/json\r\nContent-Length: {len(given)}\r\n" if given else ""
            connection.sendall(f"{method} {path}?{words} HTTP/1.0\r\nHost: docker\r\n{kind}\r\n".encode() + given)
            chunks = []
            while chunk := connection.recv(1 << 18):
                chunks.append(chunk)
        head, _, said = b"".join(chunks).partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1:2]
        if not status or not status[0].isdigit():
            message = f"no answer of HTTP: {head[:80]!r}"
            raise OSError(message)
        try:
            answer = json.loads(said) if said.strip() else None
        except ValueError as error:
            message = f"the answer breaks off after {len(said)} bytes, or is no JSON: {said[:80]!r}"
            raise OSError(message) from error
        if int(status[0]) >= 300:
            text = answer["message"] if isinstance(answer, dict) and "message" in answer else repr(said[:200])
            raise Refusal(int(status[0]), str(text))
        return answer

    def find(self, label: str) -> list[Thing]:
        """List all that bears a label (`name` or `name=value`): containers first, since they use the others."""
        filters = json.dumps({"label": [label]})
        found = [
            Thing(
                CONTAINER,
                each["Id"],
                each["Names"][0].lstrip("/") if each["Names"] else each["Id"],
                each["Labels"],
                next((mount["Source"] for mount in each.get("Mounts", ()) if mount["Destination"] == LOG), ""),
            )
            for each in self.call("GET", "/containers/json", all="1", filters=filters)
        ]
        found += [
            Thing(NETWORK, each["Id"], each["Name"], each["Labels"])
            for each in self.call("GET", "/networks", filters=filters)
        ]
        found += [
            Thing(VOLUME, each["Name"], each["Name"], each["Labels"] or {})
            for each in self.call("GET", "/volumes", filters=filters)["Volumes"] or ()
        ]
        return found

    def give_back(self, thing: Thing) -> str | None:
        """Have what root made in a container's directory belong to its user; return None, or why it stays root's.

        In there one is root, and out here its user may not even remove it. Only from inside can that be undone, while
        the container is there. One whose label names nobody has nothing to give back.

        Raises:
            OSError: the Engine can't be reached.
        """
        user = thing.labels.get(USER)
        if thing.kind != CONTAINER or not user:
            return None
        place = f"/containers/{quoted(thing.key)}"
        try:
            state = self.call("GET", f"{place}/json")["State"]
            if state["Paused"]:
                self.call("POST", f"{place}/unpause")
            elif not state["Running"]:
                self.call("POST", f"{place}/start")
            command = ["chown", "-R", "-h", user, DIRECTORY]
            number = quoted(self.call("POST", f"{place}/exec", {"User": "0:0", "Cmd": command})["Id"])
            self.call("POST", f"/exec/{number}/start", {"Detach": True})
            give_up = time.monotonic() + GIVE_BACK_SECONDS
            while (code := self.call("GET", f"/exec/{number}/json")["ExitCode"]) is None:
                if time.monotonic() > give_up:
                    return f"chown took longer than {GIVE_BACK_SECONDS:g} s"
                time.sleep(0.02)
        except Refusal as refusal:
            return str(refusal)
        return f"chown exited with code {code}" if code else None

    def remove(self, thing: Thing) -> str | None:
        """Remove a thing, and return None; or say why it is still there.

        Raises:
            OSError: the Engine can't be reached.
        """
        key = quoted(thing.key)
        try:
            if thing.kind == CONTAINER:
                self.call("DELETE", f"/containers/{key}", force="1", v="1")
            else:
                self.call("DELETE", f"/{thing.kind}s/{key}")
        except Refusal as refusal:
            return None if refusal.status == GONE else str(refusal)
        return None


class Removal(NamedTuple):
    """What became of a thing."""

    thing: Thing
    trouble: str | None
    """Why it is still there, if it is."""
    remark: str | None = None
    """What is to be said of it all the same."""


def unlink_fifo(path: str) -> None:
    """Remove a node's FIFO: who came to it by its name would wait for ever. What is none is left alone."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)


def sweep(api: Api, things: Iterable[Thing]) -> list[Removal]:
    """Remove things, kind by kind since one uses the other, several at a time."""
    things = list(things)
    done: list[Removal] = []
    for kind in (CONTAINER, NETWORK, VOLUME):
        left = [thing for thing in things if thing.kind == kind]

        def remove(left: list[Thing] = left) -> None:
            # Each of these is one step under the interpreter's lock.
            while left:
                try:
                    thing = left.pop()
                except IndexError:
                    return
                try:
                    kept = api.give_back(thing)
                    trouble = api.remove(thing)
                except OSError as error:
                    done.append(Removal(thing, str(error)))
                    continue
                if trouble is None:
                    unlink_fifo(thing.fifo)
                whose = f"what it made in its node's directory stays root's ({kept}); root can `chown` or remove it"
                done.append(Removal(thing, trouble, whose if kept and not trouble else None))

        threads = [threading.Thread(target=remove) for _ in range(min(AT_ONCE, len(left)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return done


@final
class Reaper:
    """One run's."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._api = Api(order["host"])
        self._label: str = order["label"]
        self._fifos: str | None = order.get("fifos")
        self._log_path: str | None = order.get("log")
        self._said = ""

    def reap(self, *, settle: float) -> bool:
        """Remove all that bears the label, and what comes within `settle` seconds; tell whether nothing is left."""
        now = time.monotonic()
        give_up, seen = now + GIVE_UP_SECONDS, now
        pause = 0.05
        while True:
            trouble = ""
            try:
                things = self._api.find(self._label)
                for thing, why, remark in sweep(self._api, things):
                    said = f"left {thing.kind} {thing.name}: {why}" if why else f"removed {thing.kind} {thing.name}"
                    self._say(f"{said}; {remark}" if remark else said)
            except Exception as error:  # noqa: BLE001  # whatever it was: there is nobody else to try again
                things, trouble = [], str(error)
                self._say(f"the Engine at {self._api.host}: {error}")
            now = time.monotonic()
            if things:
                seen, pause = now, 0.05
            elif trouble:
                seen = now
            elif now - seen >= settle:
                self._remove_fifos()
                return True
            if now > give_up:
                self._say("giving up; `lucy gc` removes what is left")
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _remove_fifos(self) -> None:
        if self._fifos is not None:
            with contextlib.suppress(OSError):
                for name in os.listdir(self._fifos):
                    os.unlink(f"{self._fifos}/{name}")

    def _say(self, text: str) -> None:
        """Write down what happened where the run's other files are, if they are still there; what repeats, once."""
        if text == self._said or self._log_path is None:
            return
        self._said = text
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with contextlib.suppress(OSError), open(self._log_path, "a", encoding="utf-8") as log:
            log.write(f"{moment} {text}\n")


@final
class Ear:
    """Takes what Lucy says, and finds the order and the last word in it. Sans-IO."""

    __slots__ = ("_left", "order", "word")

    def __init__(self) -> None:
        self._left = b""
        self.order: dict[str, Any] | None = None
        self.word = ""
        """`bye` or `sweep`, once that was said."""

    def hear(self, chunk: bytes) -> None:
        """Take what came next; what is neither an order nor a word is passed over."""
        *lines, self._left = (self._left + chunk).split(b"\n")
        if len(self._left) > LINE_BYTES:
            self._left = b"-"  # the rest of what is too long is no word either
        for line in lines:
            if line in (b"bye", b"sweep"):
                self.word = self.word or line.decode()
            elif self.order is None:
                self.order = _order(line)


def _order(line: bytes) -> dict[str, Any] | None:
    try:
        order = json.loads(line)
    except (ValueError, RecursionError):
        return None
    wanted = isinstance(order, dict) and all(isinstance(order.get(name), str) for name in ("host", "label"))
    return order if wanted else None


def listen(pipe: int, lucy: int) -> Ear:
    """Hear Lucy until she has said her last word or has ended; return what she said."""
    ear = Ear()
    poll = select.poll()
    for descriptor in (pipe, lucy):
        poll.register(descriptor, select.POLLIN)
    while not ear.word:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if pipe in ready:
            # What she said before she ended comes first.
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                break
            ear.hear(chunk)
        elif lucy in ready:
            break
    return ear


def main(arguments: list[str]) -> None:
    """Wait on two inherited descriptors, a pipe and Lucy's pidfd, and do what the end means."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ear = listen(int(arguments[0]), int(arguments[1]))
    if ear.word == "bye" or ear.order is None:
        return
    reaper = Reaper(ear.order)
    sys.exit(0 if reaper.reap(settle=0.0 if ear.word == "sweep" else SETTLE_SECONDS) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
