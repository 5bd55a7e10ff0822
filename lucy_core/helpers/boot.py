"""Starts a helper: `python -I -S boot.py MODULE CONTROL LUCY WORD…`, by this file's path.

CONTROL is a socket to Lucy and LUCY a pidfd of hers; both belong to the helper alone, and not to what it starts. There
are no site packages, and Lucy's own packages are empty: a façade costs 300 ms of imports that no helper has a use for.
Modules keep their real names all the same.

A terminal's Ctrl-C is not for helpers. Each ends by itself after Lucy, once it has done what it is there for.
"""

import os
import signal
import socket
import sys
from importlib.machinery import ModuleSpec

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SITE, OWN = os.path.split(PACKAGE)


class Shells:
    """Finds the packages of ours and of the helper as empty ones, each with its place."""

    def __init__(self, *roots: str) -> None:
        self._roots = roots

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return a package, or None for a module, which others find in it."""
        place = os.path.join(SITE, *name.split("."))
        if name.partition(".")[0] not in self._roots or not os.path.isdir(place):
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [place]
        return spec


def main(name: str, control: str, lucy: str, *words: str) -> None:
    """Be the helper."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for fd in (control, lucy):
        os.set_inheritable(int(fd), False)
    sys.meta_path.insert(0, Shells(OWN, name.partition(".")[0]))
    __import__(name)
    sys.modules[name].main(socket.socket(fileno=int(control)), int(lucy), *words)


if __name__ == "__main__":
    main(*sys.argv[1:])
