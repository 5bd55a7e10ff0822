"""Signals by name."""

import signal
from typing import Any

import pytest

from lucy_core.engine.signals import Reach, reach_of, signal_number, signal_of


@pytest.mark.parametrize("given", ("SIGHUP", "HUP", signal.SIGHUP), ids=("name", "short name", "member"))
def test_a_signal_is_known_by_its_name_its_short_name_and_its_number(given: Any) -> None:
    assert signal_of(given, "signal") == signal_of(1, "signal") == "SIGHUP"
    assert signal_number("SIGHUP") == signal.SIGHUP


def test_real_time_signals_count_from_the_first() -> None:
    assert signal_of(signal.SIGRTMIN + 3, "signal") == signal_of("RTMIN+3", "signal") == "SIGRTMIN+3"
    assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert signal_of(signal.SIGRTMAX, "signal") == f"SIGRTMIN+{signal.SIGRTMAX - signal.SIGRTMIN}"
    with pytest.raises(ValueError, match="is no signal"):
        signal_of("SIGRTMIN+60", "signal")


def test_every_signal_has_a_name_that_leads_back_to_it() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT}:
        assert signal_number(signal_of(int(number), "signal")) == number


def test_whom_it_goes_to_may_be_said_in_text() -> None:
    assert reach_of("daemon", "to") is Reach.DAEMON
