"""Which process made a thing, written into a label and read back."""

import os
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from lucy_engines.docker.plan.labels import CREATED, OWNER, RUN, Owner, run_label, run_labels, start_ticks

words = st.text(st.characters(exclude_characters=":", exclude_categories=("Cs",)), min_size=1)


@given(st.builds(Owner, st.integers(1, 2**22), st.integers(0, 2**60), words, words, words))
def test_an_owner_is_read_back_as_it_was_written(owner: Owner) -> None:
    assert Owner.parse(str(owner)) == owner


@given(st.text())
def test_a_label_of_somebody_else_names_no_owner_or_one_that_reads_the_same(text: str) -> None:
    owner = Owner.parse(text)

    assert owner is None or Owner.parse(str(owner)) == owner


def test_a_process_that_ended_has_no_start_even_before_it_is_waited_for() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        assert start_ticks(process.pid) is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_ticks(process.pid) is None
    assert start_ticks(process.pid) is None


def test_a_runs_things_bear_run_moment_and_owner() -> None:
    labels = run_labels("small-1", clock=lambda: 12.7)

    assert labels == {RUN: "small-1", CREATED: "13", OWNER: str(Owner.me())}
    assert Owner.me().pid == os.getpid()


def test_a_runs_things_are_found_by_what_they_bear() -> None:
    assert run_label("small-1") == "lucy.run=small-1"
