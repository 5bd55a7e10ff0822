"""Who listens in a container, as the kernel has it.

A connection to a published port doesn't tell: the Engine's proxy takes it, whether somebody listens behind it or not,
and hangs up after. So the container's own tables are read, which no image keeps from anybody, by a program that it has.
"""

from lucy_core.engine import Written
from lucy_core.errors import CommandError
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.api.commands import run_command

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_READERS = (
    ("cat", *_TABLES),
    (
        "python3",
        "-c",
        "import sys\nfor each in sys.argv[1:]:\n with open(each) as table: print(table.read())",
        *_TABLES,
    ),
)
"""What an image may have: one of both, for its supervisor is a shell's program or Python's. The table of IPv6 comes
last, for it may be missing."""
_LISTENING = "0A"
_LOOPBACK_6 = "00000000000000000000000001000000"


async def listens(client: EngineClient, container: str, node: str, port: int, *, seconds: float) -> bool:
    """Tell whether somebody listens at a port of a container's, where others reach it.

    Raises:
        CommandError: it can't be found out.
        CommandTimeoutError: it could not be found out in `seconds`.
    """
    told: list[bytes] = []

    def take(written: Written) -> None:
        told.append(written.data)

    for reader in _READERS:
        try:
            await run_command(client, container, node, reader, directory="/", given=b"", seconds=seconds, take=take)
        except CommandError:
            if reader == _READERS[-1]:
                raise
        else:
            break
    return port in listening_ports(b"".join(told).decode(errors="replace"))


def listening_ports(tables: str) -> set[int]:
    """Return the ports at which somebody listens for more than the container itself, from the kernel's tables."""
    found = set()
    for line in tables.splitlines():
        match line.split():
            case [_, place, _, state, *_] if state == _LISTENING:
                address, _, port = place.partition(":")
                if address != _LOOPBACK_6 and not (len(address) == 8 and address.endswith("7F")):
                    found.add(int(port, 16))
    return found
