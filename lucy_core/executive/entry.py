"""Where the command `lucy` begins: what has to be done before all else is imported, which takes half a second.

Signals are listened to, so that Ctrl-C is as quiet in that time as later. A standard descriptor that the caller has
closed (`>&-`) is taken by /dev/null: the next file to be opened would get its number, and what is meant for people.
"""

import os
import resource
import sys

from lucy_core.executive.signals import Signals


def main() -> int:
    """Do what the command line says; return the exit code."""
    closed = reserve_descriptors()
    signals = Signals()
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        sys.dont_write_bytecode = True  # of a module that is longer the first half would stay, for all who come later
    from lucy_core.executive.command_line import run_command
    from lucy_core.executive.showing.voice import Voice

    voice = Voice(closed)
    with voice.installed():
        return run_command(sys.argv[1:], signals, voice)


def reserve_descriptors() -> frozenset[int]:
    """Open those of 0, 1 and 2 that are closed; return which they were."""
    closed = set()
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            closed.add(descriptor)
    return frozenset(closed)
