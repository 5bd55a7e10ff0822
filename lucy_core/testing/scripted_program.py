"""A node for tests: does what its arguments say, one after the other. Standard library only, Python 3.7 or newer.

Not imported: `scripted_node` gives its text to a node as a file, so that it runs wherever an engine puts the node.
It writes its lines by `os.write`, a whole line a call, so that none is held back and none is torn but by its death.
A step is a word with arguments, `say:100`; see `STEPS`.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import types
from typing import Callable, Dict, List, NoReturn, Optional

# A step may be cut short by the node's death at any byte. What it notes comes after what it wrote.
PERIOD = 0.01
BLOCK = 200


def write(data: bytes, descriptor: int = 1) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Program:
    """One run of the program, which may be one of many starts of its node."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.count = 0
        self.addresses: Dict[str, str] = {}
        self.start = int(self._recall("starts") or "0") + 1
        self._note("starts", str(self.start))
        self._tell("started")

    def _recall(self, name: str) -> Optional[str]:
        """Read what this start or an earlier one has noted."""
        try:
            with open(os.path.join(self.state, name)) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _note(self, name: str, text: str) -> None:
        """Note something, whole or not at all."""
        path = os.path.join(self.state, name)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)

    def _line(self, event: str, message: str, **metadata: object) -> bytes:
        """Make a log line of it, of the shape that Lucy reads."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + ".%06dZ" % (now % 1 * 1e6)
        head = {"timestamp": stamp, "level": "Info", "message": message, "event_id": "lucy.scripted." + event}
        return json.dumps({**head, "metadata": {"start": self.start, **metadata}}).encode() + b"\n"

    def _tell(self, what: str, value: str = "") -> None:
        """Log one fact."""
        write(self._line("told", "$what: $value", what=what, value=value))

    def _numbered(self, size: int = 0) -> bytes:
        """Make the next numbered line, at least `size` bytes of it."""
        self.count += 1
        line = self._line("numbered", "line $n", n=self.count)
        missing = size - len(line)
        if missing <= 0:
            return line
        return line[:-3] + b', "padding": "' + b"x" * missing + b'"}}\n'

    def say(self, count: str = "1", size: str = "0") -> None:
        """Write numbered lines of at least `size` bytes, and note how many there are in all."""
        left = int(count)
        while left:
            lines = min(left, BLOCK)
            write(b"".join(self._numbered(int(size)) for _ in range(lines)))
            left -= lines
            self._note("noted-%d" % self.start, str(self.count))

    def flood(self, size: str = "300") -> NoReturn:
        """Write numbered lines as fast as they are taken, and note how many were written whole."""
        while True:
            self.say(str(BLOCK), size)

    def tick(self, seconds: str = str(PERIOD)) -> NoReturn:
        """Write a numbered line now and then."""
        while True:
            write(self._numbered())
            time.sleep(float(seconds))

    def rest(self) -> NoReturn:
        """Do nothing until killed."""
        while True:
            signal.pause()

    def wait(self, name: str) -> None:
        """Wait until there is a file in the node's directory."""
        self._tell("waiting", name)
        while not os.path.exists(name):
            time.sleep(PERIOD)

    def exit(self, code: str = "0") -> NoReturn:
        """End with this code."""
        os._exit(int(code))

    def die(self, name: str = "SIGKILL") -> None:
        """End by a signal."""
        os.kill(os.getpid(), signal.Signals[name])

    def deaf(self) -> None:
        """Ignore SIGTERM from now on."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def polite(self, name: str = "SIGTERM") -> None:
        """On this signal say goodbye and exit with 7."""
        signal.signal(signal.Signals[name], lambda *_: self._leave("goodbye", 7))

    def hear(self, name: str) -> None:
        """Tell whenever this signal comes, and go on."""
        self._listen_for(name, "heard")

    def brood(self, name: str) -> None:
        """Have a child that does the same."""
        if os.fork() == 0:
            self._listen_for(name, "child heard")
            self._tell("brooding")
            self.rest()

    def _listen_for(self, name: str, what: str) -> None:
        signal.signal(signal.Signals[name], lambda *_: self._tell(what, name))

    def nurse(self) -> None:
        """Have a child, and on SIGTERM let it finish before saying goodbye and exiting with 7."""
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, lambda *_: self._leave("child cut", 1))
            signal.signal(signal.SIGUSR2, lambda *_: self._leave("child done", 0))
            self._tell("brooding")
            self.rest()

        def leave(_number: int, _frame: Optional[types.FrameType]) -> None:
            os.kill(child, signal.SIGUSR2)
            os.waitpid(child, 0)
            self._leave("goodbye", 7)

        signal.signal(signal.SIGTERM, leave)

    def _leave(self, word: str, code: int) -> NoReturn:
        self._tell(word)
        os._exit(code)

    def print(self, text: str) -> None:
        """Write a line of plain text."""
        write(text.encode() + b"\n")

    def mutter(self, text: str) -> None:
        """Write text without the end of its line."""
        write(text.encode())

    def complain(self, text: str) -> None:
        """Write a line of plain text on stderr."""
        write(text.encode() + b"\n", 2)

    def append(self, name: str, text: str) -> None:
        """Write a line of plain text into a file of the node's directory."""
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "a") as file:
            file.write(text + "\n")

    def move(self, name: str, other: str) -> None:
        """Rename a file."""
        os.rename(name, other)

    def show(self, name: str) -> None:
        """Tell what a variable of the environment holds."""
        self._tell(name, os.environ.get(name, "(not set)"))

    def spawn(self) -> None:
        """Leave a grandchild behind, which detaches itself and ticks with our output."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while True:
            self._tell("orphan")
            time.sleep(PERIOD)

    def eat(self, mebibytes: str) -> None:
        """Take memory, and use it."""
        self.eaten = [b"x" * (1 << 20) for _ in range(int(mebibytes))]
        self._tell("ate", mebibytes)

    def listen(self, host: str, port: str) -> None:
        """Answer every connection: send back what comes."""
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, int(port)))
        server.listen(64)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        self._tell("listening", port)

    def dial(self, host: str, port: str, seconds: str = "0.5") -> NoReturn:
        """Ask a listener now and then, on a new connection each, and tell whether it answered within `seconds`."""
        while True:
            self._ask(host, int(port), float(seconds))
            time.sleep(5 * PERIOD)

    def _ask(self, host: str, port: int, seconds: float) -> None:
        """Ask a listener, and tell whether it answered."""
        began = time.monotonic()
        try:
            # Looked up once: a node that is cut off would wait for names, and not for the one that it asks.
            address = self.addresses.get(host) or socket.gethostbyname(host)
            self.addresses[host] = address
            with socket.create_connection((address, port), timeout=seconds) as connection:
                connection.settimeout(seconds)
                connection.sendall(b"hello\n")
                answer = connection.recv(64).decode().strip()
            problem = "" if answer == "hello" else "answered %r" % answer
        except OSError as error:
            problem = type(error).__name__
        took = time.monotonic() - began
        write(self._line("dialled", "$host: $problem", host=host, problem=problem, seconds=round(took, 6)))

    def clingy(self, host: str, port: str) -> None:
        """On SIGTERM ask a listener once more, after a while in which it could have ended, and exit."""

        def leave(_number: int, _frame: Optional[types.FrameType]) -> None:
            time.sleep(50 * PERIOD)
            self._ask(host, int(port), 1.0)
            os._exit(0)

        signal.signal(signal.SIGTERM, leave)


def serve(server: socket.socket) -> None:
    """Serve connections for ever, one at a time."""
    while True:
        connection, _ = server.accept()
        with connection:
            try:
                connection.settimeout(5)
                connection.sendall(connection.recv(1 << 16))
            except OSError:
                pass


STEPS: Dict[str, Callable[..., None]] = {name: step for name, step in vars(Program).items() if not name.startswith("_")}


def main(state: str, steps: List[str]) -> None:
    """Do the steps."""
    program = Program(state)
    for step in steps:
        word, *arguments = step.split(":")
        STEPS[word](program, *arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
