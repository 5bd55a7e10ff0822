"""When a run or a node may be asked for what. Sans-IO."""

import enum
from typing import final

from lucy_core.errors import LifeCycleError


class State(enum.StrEnum):
    """Where a run, or a node in it, stands."""

    CREATED = "created"
    """Nothing is there yet."""
    DEPLOYED = "deployed"
    """Its place is made, and it was never started."""
    RUNNING = "running"
    """It runs."""
    PAUSED = "paused"
    """It is frozen."""
    STOPPED = "stopped"
    """It has ended, by itself or on command, and may be started again."""
    DESTROYED = "destroyed"
    """It is gone for good."""


_RUN_MOVES: dict[State, dict[str, State]] = {
    State.CREATED: {"deploy": State.DEPLOYED, "destroy": State.DESTROYED},
    State.DEPLOYED: {
        "start": State.RUNNING,
        "add to": State.DEPLOYED,
        "remove from": State.DEPLOYED,
        "destroy": State.DESTROYED,
    },
    State.RUNNING: {
        "stop": State.STOPPED,
        "add to": State.RUNNING,
        "remove from": State.RUNNING,
        "destroy": State.DESTROYED,
    },
    State.STOPPED: {"start": State.RUNNING, "destroy": State.DESTROYED},
    State.DESTROYED: {},
}

_NODE_MOVES: dict[State, dict[str, State]] = {
    State.DEPLOYED: {"start": State.RUNNING, "destroy": State.DESTROYED},
    State.RUNNING: {
        "stop": State.STOPPED,
        "kill": State.STOPPED,
        "pause": State.PAUSED,
        "signal": State.RUNNING,
        "exit": State.STOPPED,
        "restart": State.RUNNING,
        "destroy": State.DESTROYED,
    },
    State.PAUSED: {
        "resume": State.RUNNING,
        "signal": State.PAUSED,
        "stop": State.STOPPED,
        "kill": State.STOPPED,
        "exit": State.STOPPED,
        "restart": State.RUNNING,
        "destroy": State.DESTROYED,
    },
    State.STOPPED: {"start": State.RUNNING, "restart": State.RUNNING, "destroy": State.DESTROYED},
    State.DESTROYED: {},
}


@final
class LifeCycle:
    """A state machine that refuses wrong moves by name. Two kinds: `of_run` and `of_node`."""

    __slots__ = ("_moves", "_subject", "state")

    def __init__(self, subject: str, moves: dict[State, dict[str, State]], state: State) -> None:
        self._subject = subject
        self._moves = moves
        self.state = state

    @classmethod
    def of_run(cls, run_id: str) -> "LifeCycle":
        """Created, deployed, running, stopped, destroyed."""
        return cls(f"run {run_id}", _RUN_MOVES, State.CREATED)

    @classmethod
    def of_node(cls, name: str) -> "LifeCycle":
        """Deployed, running, paused, stopped, destroyed."""
        return cls(f"node {name}", _NODE_MOVES, State.DEPLOYED)

    def check(self, action: str) -> State:
        """Return where `action` would lead, without going there.

        Raises:
            LifeCycleError: naming the action, the state, and what is possible instead.
        """
        moves = self._moves[self.state]
        if action not in moves:
            raise LifeCycleError(self._subject, action, self.state, moves)
        return moves[action]

    def move(self, action: str) -> State:
        """Go where `action` leads. Raises as `check` does."""
        self.state = self.check(action)
        return self.state
