"""Mina as a vocabulary: what the core asks of it."""

from typing import Any, final

from lucy_core.mina.events import STATE_EVENTS
from lucy_core.mina.state import MinaState


@final
class MinaVocabulary:
    """Mina's events, and the state that they add up to."""

    name = "mina"
    """Its name in `run.json`, by which a replay finds it."""
    event_types = STATE_EVENTS
    """What its state is folded from."""

    def new_state(self) -> MinaState:
        """Return the state of a network of which nothing is known."""
        return MinaState()

    def summary(self, state: Any, node: str) -> str:  # the core hands back what `new_state` gave
        """Say where a node stands: initialized or not, height, best tip, blocks produced."""
        if not isinstance(state, MinaState):
            return ""
        known = state.node(node)
        if not known.initialized:
            return "initializing" if known.running else ""
        height = state.height_of(known.best_tip)
        words = [f"height {height if height is not None else '?'}"]
        if known.best_tip is not None:
            words.append(f"tip {known.best_tip[:10]}…")
        if known.blocks_produced:
            words.append(f"{known.blocks_produced} produced")
        return "  ".join(words)


VOCABULARY = MinaVocabulary()
"""The one that there is; a `Topology` brings it along."""
