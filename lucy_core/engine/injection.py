"""A fault in effect, as engines give it. For engines whose `faults` aren't empty.

`EngineNetwork.inject` makes a fault effective and gives an `Injection` that undoes it. All else about faults is done
for every engine in `lucy_core.network.leases`: what is refused, when a fault ends, what the journal says. What an
engine has to hold to:

- `inject` gets a fault of a kind in `Engine.faults`, whose nodes exist, whose `others` are filled in, and whose `Pause`
  names running nodes alone. It returns once the fault is in effect, and otherwise leaves nothing behind. It isn't
  cancelled.
- Faults compose: any two may be in effect on the same nodes, and undoing one leaves the other as it was. Of two limits
  the tighter one holds, latencies and clock offsets add up.
- `revert` undoes exactly what `inject` did, in whatever state the node is by then. Called again it does nothing.
- The engine ends the fault by itself after `lasting` seconds, and at Lucy's death, even where Lucy's loop is blocked or
  its process stopped.
- Where the fault's place is gone (its process died, what it ran in was removed), the engine undoes what is left of it
  and calls `on_lost`.
- A kind that it can do elsewhere but not on this machine is an `UnsupportedError` with the fault's kind and the reason.
"""

from typing import Protocol

import msgspec

from lucy_core.faults import Fault


class FaultLost(msgspec.Struct, frozen=True):
    """A fault is in effect no longer, because its place is gone."""

    fault: Fault
    """Which."""
    reason: str
    """What became of its place."""


class Injection(Protocol):
    """A fault in effect."""

    async def revert(self) -> float:
        """Undo it, and return for how many seconds it was in effect. Again does nothing and returns the same.

        Raises:
            FaultError: it could not be undone, and may still be in effect.
        """
        ...
