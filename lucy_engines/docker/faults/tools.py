"""What this machine offers for faults: programs, rights, the kernel's queues."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
TOOL_SECONDS = 30.0
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))

_NEEDS = {
    "Drop": ("nsenter", "iptables-restore"),
    "Reset": ("nsenter", "iptables-restore"),
    "Loss": ("nsenter", "iptables-restore"),
    "Bandwidth": ("nsenter", "tc", "ip"),
    "Latency": ("nsenter", "iptables-restore", "tc", "ip"),
    "DiskFull": (),
}
_PACKAGES = {"nsenter": "util-linux", "iptables-restore": "iptables", "tc": "iproute2", "ip": "iproute2"}


class Trouble(Exception):  # noqa: N818  # told to Lucy, who makes an error of it
    """A fault could not be made or undone; its text says why."""


class Unable(Trouble):
    """This machine can't do such a fault at all; its text says what is missing."""


def capabilities() -> int:
    """Return this process's effective capabilities, a bit each."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))


def check(kind: str) -> None:
    """Refuse a fault for which rights or programs are missing.

    Raises:
        Unable: naming what is missing.
    """
    if kind not in _NEEDS:
        return  # through the Engine's API, whoever may ask it
    held = capabilities()
    if not (held >> CAP_NET_ADMIN & 1 and held >> CAP_SYS_ADMIN & 1):
        raise Unable("it takes CAP_NET_ADMIN and CAP_SYS_ADMIN to enter a container's network; run Lucy as root")
    for program in _NEEDS[kind]:
        if shutil.which(program, path=PATH) is None:
            raise Unable(f"there is no program {program} on this machine; install {_PACKAGES[program]}")


def run(command: Sequence[str], script: str = "", descriptors: Sequence[int] = ()) -> str:
    """Run a program with a script as its input; return what it says.

    Raises:
        Trouble: it failed.
    """
    program = shutil.which(command[0], path=PATH) or command[0]
    try:
        done = subprocess.run(  # noqa: S603  # our own words, no shell
            [program, *command[1:]],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=descriptors,
            timeout=TOOL_SECONDS,
            env={**os.environ, "PATH": PATH},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def has_netem() -> bool:
    """Tell whether the kernel can hold packets back by itself, by trying it where nobody is."""
    with contextlib.suppress(Trouble):
        run(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"])
        return True
    return False
