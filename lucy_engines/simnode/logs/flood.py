"""`--log-flood`: realistic lines of mixed sizes, as many a second as asked, from the seed.

Bodies are made once; a line is a stamp, a number and one of them, so that a core makes tens of megabytes a second.
Each line's `n` counts from 0 in this process's life: whoever reads can tell a lost line. Time that a blocked pipe took
is not made up for beyond a second.
"""

import random
import time
from typing import final

from lucy_engines.simnode.logs.logger import timestamp

_TEMPLATES = (
    ("Spam", "Libp2p_helper.Go.pubsub", "libp2p_helper: message on $topic from $sender"),
    ("Trace", "Transition_frontier", "Breadcrumb $state_hash is in the frontier"),
    ("Debug", "Network_pool__Transaction_pool", "Pool holds $size commands of $senders senders"),
    ("Debug", "Mina_networking", "Answering $rpc for $sender"),
    ("Trace", "Transition_handler__Catchup_scheduler", "Scheduler has $jobs jobs"),
    ("Info", "Mina_lib", "Best tip is $state_hash"),
)
BODIES = 4096
TICK = 0.005


def bodies(seed: str) -> list[bytes]:
    """Make what follows a line's number: sizes from 200 bytes to 60 kB, with a mean of some 500."""
    draw = random.Random(f"flood {seed}")  # noqa: S311  # noise, not secrets
    made = []
    for _ in range(BODIES):
        level, module, message = draw.choice(_TEMPLATES)
        roll = draw.random()
        size = draw.randrange(0, 320) if roll < 0.997 else draw.randrange(2_000, 59_000)
        source = (
            ""
            if level == "Spam"
            else (
                f',"source":{{"module":"{module}","location":"File \\"src/lib/{module.lower()}.ml\\", line '
                f'{draw.randrange(1, 900)}, characters 2-17"}}'
            )
        )
        body = (
            f'","level":"{level}"{source},"message":"{message}","metadata":{{"detail":"{"x" * size}",'
            f'"peer_id":"12D3KooWFlood","pid":{draw.randrange(2, 99)},"simulated":true,"n":'
        )
        made.append(body.encode())
    return made


@final
class Flood:
    """Makes lines at a rate. Call it from the writer thread alone."""

    def __init__(self, lines_per_second: float, seed: str) -> None:
        self._rate = lines_per_second
        self._bodies = bodies(seed)
        self._made = 0
        self._owed_since = time.monotonic()

    def __call__(self) -> tuple[bytes, float]:
        """Return the lines that are due, and how long to wait if there are none."""
        now = time.monotonic()
        due = int((now - self._owed_since) * self._rate)
        if due < 1:
            return b"", min(TICK, 1 / self._rate)
        most = max(1, int(self._rate))
        if due > most:
            due, self._owed_since = most, now
        else:
            self._owed_since += due / self._rate
        head = b'{"timestamp":"' + timestamp(time.time()).encode()
        first, pool = self._made, self._bodies
        self._made += due
        return b"".join([b"%b%b%d}}\n" % (head, pool[n % BODIES], n) for n in range(first, first + due)]), 0.0
