"""What tests of Mina networks wait for. Names, meanings and timeouts are those of Mina's `wait_condition.ml`, repaired.

Timeouts count slots, as upstream's do, so that a network with slots of a second waits seconds. Initialization takes no
slots but a process's start and its first peers; upstream's ten and fifteen minutes for two-minute slots become one and
two minutes, whatever the slots.
"""

from lucy_core.arguments import optional, readable_text, text_of, tuple_of, whole
from lucy_core.errors import ArgumentError
from lucy_core.judging.conditions.condition import Condition, Progress
from lucy_core.judging.durations import seconds
from lucy_core.mina.durations import slots
from lucy_core.mina.events import (
    BlockProduced,
    BreadcrumbAdded,
    NodeInitialization,
    NodeOffline,
    PersistedFrontierLoaded,
    TransitionFrontierDiffApplication,
)
from lucy_core.mina.state import MinaState

_NAMES = tuple_of(readable_text, "('bp-1', 'bp-2')")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "all running nodes"


def _dead(state: MinaState, names: tuple[str, ...]) -> str | None:
    """Say which of the nodes that have to act has died."""
    for name in names or tuple(state.nodes):
        died = state.node(name).died
        if died is not None:
            return f"{name} {died}"
    return None


def _who_runs(state: MinaState) -> str:
    paused = state.paused()
    return (", ".join(state.acting()) or "no node") + (f" (paused: {', '.join(paused)})" if paused else "")


def _nobody_runs(state: MinaState) -> str | None:
    """Say that nobody is left who could do what is awaited: a paused node does nothing."""
    if state.acting() or not state.nodes:
        return None
    return f"no node runs any more: {_who_runs(state)}" if state.paused() else "no node runs any more"


def _not_running(state: MinaState, name: str) -> str:
    node = state.node(name)
    return "it is paused" if node.paused else "not initialized yet" if node.running else "it does not run"


def nodes_initialized(*names: str) -> Condition[MinaState]:
    """Every named node takes part in the network; without names, every node that runs."""
    names = _NAMES(names, "names")

    def check(_: MinaState, now: MinaState) -> Progress:
        wanted = names or tuple(now.running())
        missing = [name for name in wanted if not now.node(name).initialized]
        return Progress(
            have=len(wanted) - len(missing),
            need=max(1, len(wanted)),
            missing=tuple(f"{name}: {_not_running(now, name)}" for name in missing),
            impossible=_dead(now, names),
        )

    return Condition(
        name="nodes_initialized",
        description=f"{_list(names)} to initialize",
        check=check,
        event_types=(NodeInitialization, NodeOffline),
        nodes=names,
        soft=seconds(60),
        hard=seconds(120),
        is_readiness=True,
    )


def blocks_produced(count: int) -> Condition[MinaState]:
    """`count` blocks were produced since the start of the wait, on whatever branch."""
    if whole(count, "count") < 1:
        raise ArgumentError("count", count, "is no block; wait for one at least")

    def check(before: MinaState, now: MinaState) -> Progress:
        made = len(now.blocks_produced) - len(before.blocks_produced)
        return Progress(
            have=made,
            need=count,
            missing=(f"{count - made} more blocks; running: {_who_runs(now)}",) if made < count else (),
            impossible=None if made >= count else _nobody_runs(now),
        )

    limit = 2 * count + 1
    return Condition(
        name="blocks_produced",
        description=f"{count} blocks to be produced",
        check=check,
        event_types=(BlockProduced,),
        soft=slots(limit),
        hard=slots(2 * limit),
    )


def block_height_growth(growth: int) -> Condition[MinaState]:
    """The greatest height has grown by `growth` since the start of the wait."""
    if whole(growth, "growth") < 1:
        raise ArgumentError("growth", growth, "is no growth; wait for one at least")

    def check(before: MinaState, now: MinaState) -> Progress:
        grown = now.block_height - before.block_height
        return Progress(
            have=grown,
            need=growth,
            missing=(f"height {before.block_height + growth}; it is {now.block_height}; running: {_who_runs(now)}",)
            if grown < growth
            else (),
            impossible=None if grown >= growth else _nobody_runs(now),
        )

    limit = 2 * growth + 1
    return Condition(
        name="block_height_growth",
        description=f"the chain to grow by {growth}",
        check=check,
        event_types=(BlockProduced,),
        soft=slots(limit),
        hard=slots(2 * limit),
    )


def nodes_synchronized(*names: str) -> Condition[MinaState]:
    """Every named node has the same best tip; without names, every node that runs."""
    names = _NAMES(names, "names")

    def check(_: MinaState, now: MinaState) -> Progress:
        wanted = names or tuple(now.running())
        tips = {name: now.node(name).best_tip for name in wanted}
        known = [tip for tip in tips.values() if tip is not None]
        common = max(set(known), key=lambda tip: (known.count(tip), tip)) if known else None
        missing = [f"{name}: {_tip(now, tip)}" for name, tip in tips.items() if tip is None or tip != common]
        return Progress(
            have=known.count(common) if common is not None else 0,
            need=max(1, len(wanted)),
            missing=(*missing, f"most have {_tip(now, common)}") if missing else (),
            impossible=_dead(now, names),
        )

    return Condition(
        name="nodes_synchronized",
        description=f"{_list(names)} to synchronize",
        check=check,
        event_types=(TransitionFrontierDiffApplication, NodeInitialization),
        nodes=names,
        soft=slots(4),
        hard=slots(6),
    )


def _tip(state: MinaState, state_hash: str | None) -> str:
    if state_hash is None:
        return "no best tip"
    height = state.height_of(state_hash)
    return f"best tip {state_hash[:12]}…" + (f" at height {height}" if height is not None else "")


def signed_command_included(
    transaction_hash: str, *, node: str | None = None, status: str | None = "applied"
) -> Condition[MinaState]:
    """A transaction is in a block that some node, or the named one, added to its frontier.

    Args:
        transaction_hash: which transaction.
        node: whose frontier; None for anybody's.
        status: `applied` or `failed`, as which it has to be included; None for either. An inclusion with the other
            status ends the wait at once.
    """
    readable_text(transaction_hash, "transaction_hash")
    optional(text_of)(node, "node")
    if status not in ("applied", "failed", None):
        raise ArgumentError("status", status, "is none of 'applied', 'failed' and None")

    def check(_: MinaState, now: MinaState) -> Progress:
        blocks = now.inclusions.get(transaction_hash, {})
        seen = {
            block: found
            for block, found in blocks.items()
            if node is None or block in now.blocks_seen.get(node, frozenset())
        }
        right = [found for found in seen.values() if status is None or found.applied == (status == "applied")]
        wrong = [found for found in seen.values() if found not in right]
        impossible = None
        if wrong and not right:
            reasons = ", ".join(wrong[0].failures) or "applied"
            impossible = f"it was included with the wrong status ({reasons}), {status} was wanted"
        where = f"in {node}'s frontier" if node else "in any frontier"
        elsewhere = "; it is in blocks of other nodes" if blocks and not seen else ""
        return Progress(
            have=len(right),
            need=1,
            missing=() if right else (f"no block with it {where}{elsewhere}",),
            impossible=impossible or (_dead(now, (node,)) if node else None),
        )

    return Condition(
        name="signed_command_included",
        description=f"signed command {transaction_hash} to be included" + (f" on {node}" if node else ""),
        check=check,
        event_types=(BreadcrumbAdded,),
        nodes=(node,) if node else (),
        soft=slots(8),
        hard=slots(16),
    )


def persisted_frontier_loaded(node: str) -> Condition[MinaState]:
    """A node put a frontier in place, once more than at the start of the wait."""
    readable_text(node, "node")

    def check(before: MinaState, now: MinaState) -> Progress:
        loaded = now.node(node).frontier_loaded - before.node(node).frontier_loaded
        missing = () if loaded else (f"{node}: no frontier loaded yet",)
        return Progress(have=loaded, need=1, missing=missing, impossible=_dead(now, (node,)))

    return Condition(
        name="persisted_frontier_loaded",
        description=f"{node} to load its frontier",
        check=check,
        event_types=(PersistedFrontierLoaded,),
        nodes=(node,),
        soft=slots(4),
        hard=slots(8),
    )
