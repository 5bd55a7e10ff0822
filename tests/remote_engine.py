"""The Engine of this machine, offered on a port: as one that is reached over the network, and sees nothing of here."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def pass_on(near: socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways until either end closes."""
    with near, far:
        while True:
            pending = isinstance(near, ssl.SSLSocket) and near.pending()
            ready = [near] if pending else select.select([near, far], [], [])[0]
            for source, sink in ((near, far), (far, near)):
                if source in ready:
                    try:
                        chunk = source.recv(1 << 16)
                    except OSError:
                        return
                    if not chunk:
                        return
                    sink.sendall(chunk)


@contextmanager
def engine_over_tcp(docker_socket: str, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Offer the Engine of this machine on a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = []

        def serve() -> None:
            while True:
                try:
                    near, _ = server.accept()
                except OSError:
                    return
                try:
                    if context is not None:
                        near = context.wrap_socket(near, server_side=True)
                except OSError:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(docker_socket)
                thread = threading.Thread(target=pass_on, args=(near, far))
                thread.start()
                threads.append(thread)

        acceptor = threading.Thread(target=serve)
        acceptor.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join(20)
