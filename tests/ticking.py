"""A node that ticks: its program, the event that each of its lines is, and the condition that some have come."""

import msgspec

import lucy_core as lucy
from lucy_core.judging.conditions.condition import Condition, Progress

TICKER = """
import time
n = 0
while True:
    n += 1
    head = '{"timestamp":"2026-01-10 12:00:00.000001Z","level":"Info","message":"tick"'
    print(head + ',"metadata":{"n":%d}}' % n, flush=True)
    time.sleep(0.01)
"""


@lucy.event(message="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int


def ticks(count: int) -> Condition:
    seen: list[int] = []

    def check(_before: object, _now: object) -> Progress:
        seen.append(1)
        return Progress(have=len(seen) - 1, need=count, missing=("more ticks",))

    return Condition(
        name="ticks",
        description=f"{count} ticks",
        check=check,
        event_types=(Tick,),
        soft=lucy.seconds(20),
        hard=lucy.seconds(30),
    )
