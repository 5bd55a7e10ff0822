"""Which things in an Engine may be removed: a decision without an Engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.engine.garbage import Search
from lucy_engines.docker.garbage.leftovers import leftovers
from lucy_engines.docker.garbage.things import Thing
from lucy_engines.docker.plan.labels import CREATED, OWNER, RUN, Owner

ME = Owner(10, 1000, "this-boot", "this-namespace", "this-machine")
NOW = 100_000.0
ANYWHERE = Search(older_than=60.0, elsewhere=True)


def thing(owner: Owner | str, *, age: float = 3600.0, run_id: str = "small-1") -> Thing:
    return Thing("container", "c1", "small-1-a", {RUN: run_id, OWNER: str(owner), CREATED: f"{NOW - age:.0f}"})


def chosen(one: Thing, search: Search = Search(), *, alive: bool = False) -> list[str]:  # noqa: B008
    return [each.why for each in leftovers([one], search, me=ME, lives=lambda _: alive, now=NOW)]


@pytest.mark.parametrize(
    ("owner", "why"),
    (
        pytest.param(Owner(7, 1, "this-boot", "this-namespace", "this-machine"), "process 7, is gone", id="dead"),
        pytest.param(Owner(7, 1, "old-boot", "old-namespace", "this-machine"), "started anew", id="before a reboot"),
    ),
)
def test_what_a_dead_process_of_this_machine_made_may_go(owner: Owner, why: str) -> None:
    (said,) = chosen(thing(owner))

    assert why in said


@pytest.mark.parametrize(
    "owner",
    (
        pytest.param(Owner(7, 1, "this-boot", "other-namespace", "this-machine"), id="in a container"),
        pytest.param(Owner(7, 1, "other-boot", "this-namespace", "other-machine"), id="on another machine"),
    ),
)
def test_what_was_made_elsewhere_goes_by_age_alone_and_only_if_asked_for(owner: Owner) -> None:
    assert chosen(thing(owner), Search(older_than=60.0)) == []
    assert chosen(thing(owner, age=59.0), ANYWHERE) == []
    assert len(chosen(thing(owner, age=61.0), ANYWHERE)) == 1


@given(st.sampled_from((Search(), ANYWHERE, Search(run_id="small-1"))), st.floats(0, 1e9))
def test_what_a_live_run_made_stays_however_old(search: Search, age: float) -> None:
    assert chosen(thing(ME, age=age), search, alive=True) == []


@given(
    st.dictionaries(st.sampled_from((RUN, CREATED, OWNER, "other")), st.text()), st.sampled_from((Search(), ANYWHERE))
)
def test_what_lacks_a_whole_label_of_lucys_stays(labels: dict[str, str], search: Search) -> None:
    foreign = Thing("container", "c1", "small-1-a", labels)

    assert chosen(foreign, search) == []


@pytest.mark.parametrize("missing", (RUN, CREATED, OWNER))
@pytest.mark.parametrize("instead", (None, "", "something else"))
def test_what_lacks_one_label_of_lucys_stays(missing: str, instead: str | None) -> None:
    whole = thing(Owner(7, 1, "this-boot", "this-namespace", "this-machine"))
    labels = {name: value for name, value in whole.labels.items() if name != missing}
    if instead is not None:
        labels[missing] = instead
    # Any text may be the id of a run.
    there = ["its Lucy, process 7, is gone"] if missing == RUN and instead else []

    assert len(chosen(whole)) == 1
    assert chosen(whole._replace(labels=labels)) == there


def test_a_search_for_one_run_or_for_old_things_leaves_the_others() -> None:
    dead = Owner(7, 1, "this-boot", "this-namespace", "this-machine")

    assert chosen(thing(dead), Search(run_id="small-2")) == []
    assert chosen(thing(dead, age=3599.0), Search(older_than=3600.0)) == []
    assert len(chosen(thing(dead, age=3600.0), Search(older_than=3600.0, run_id="small-1"))) == 1
