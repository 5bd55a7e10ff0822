"""Which of the labelled things in an Engine belong to dead runs. Pure: who lives is asked of a function.

An Engine may serve several machines, and containers with process ids of their own. From here only the processes of
this machine and this namespace can be told dead; of all others that is left to who is there, unless age shall decide.
"""

from collections.abc import Callable, Iterable

from lucy_core.engine import Leftover, Search
from lucy_engines.docker.garbage.things import Thing
from lucy_engines.docker.plan.labels import CREATED, OWNER, RUN, Owner


def leftovers(
    things: Iterable[Thing], search: Search, *, me: Owner, lives: Callable[[Owner], bool], now: float
) -> list[Leftover]:
    """Choose what may be removed.

    Args:
        things: what bears the label of a run, Lucy's or, who knows, somebody else's.
        search: which runs, and how old.
        me: who asks, as an owner.
        lives: tells whether an owner of this machine and namespace still runs.
        now: seconds since the epoch.
    """
    found = []
    for thing in things:
        run_id, owner = thing.labels.get(RUN), Owner.parse(thing.labels.get(OWNER, ""))
        created = thing.labels.get(CREATED, "")
        if not run_id or owner is None or not created.isdecimal() or search.run_id not in (None, run_id):
            continue
        age = now - float(created)
        why = _why_dead(owner, me, lives)
        if why is None and search.elsewhere and search.older_than > 0 and not _is_here(owner, me):
            why = f"made on another machine or in another container, {age / 3600:.1f} hours ago"
        if why is not None and age >= search.older_than:
            found.append(Leftover(kind=thing.kind, key=thing.key, name=thing.name, run_id=run_id, why=why))
    return found


def _is_here(owner: Owner, me: Owner) -> bool:
    return (owner.boot, owner.pid_namespace) == (me.boot, me.pid_namespace)


def _why_dead(owner: Owner, me: Owner, lives: Callable[[Owner], bool]) -> str | None:
    if _is_here(owner, me):
        return None if lives(owner) else f"its Lucy, process {owner.pid}, is gone"
    if owner.machine == me.machine and owner.boot != me.boot:
        return "this machine was started anew since"
    return None
