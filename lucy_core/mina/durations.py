"""Mina's units of time."""

from lucy_core.judging.durations import Duration, counted

SLOTS = "slots"
EPOCHS = "epochs"


def slots(count: float) -> Duration:
    """A span of the network's slots. Raises LimitError where `count` is no number."""
    return counted(count, SLOTS)


def epochs(count: float) -> Duration:
    """A span of the network's epochs; raises as `slots` does."""
    return counted(count, EPOCHS)
