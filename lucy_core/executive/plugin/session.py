"""A pytest session whose exit code is one of Lucy's: what `lucy run test_file.py` becomes. A plugin of that session.

Where tests failed, it is what their runs would have exited with, if they agree. A failure of the nodes goes before one
of the infrastructure, and that before a log with a gap: something is known to be wrong.

It is no module to be run: pytest warns of what is imported before it begins, whose assertions it can't rewrite.
"""

from collections.abc import Collection

import pytest

from lucy_core.judging.result import ExitCode

PROGRAM = f"""\
import sys, pytest
sys.argv[0] = "pytest"
status = pytest.main(["-p", "{__name__}", *sys.argv[1:]])
from {__name__} import exit_code
sys.exit(exit_code(status))
"""
OF_NODES = frozenset({ExitCode.FAILED, ExitCode.NOT_READY, ExitCode.NODE_EXITED})

_failed: set[int] = set()
"""The exit codes of the runs of tests that failed; 1 of one without. There is one session in the process."""
_broken_off: list[BaseException] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take note of a failure."""
    if report.failed:
        _failed.update(code or ExitCode.FAILED for code in getattr(report, "lucy_exit_codes", ()) or (0,))


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Take note of Ctrl-C, or of `pytest.exit`."""
    _broken_off.append(excinfo.value)


def exit_code(status: int) -> int:
    """Return Lucy's exit code for the session that was, whose own status this is."""
    is_interrupted = any(isinstance(error, KeyboardInterrupt) for error in _broken_off)
    return int(exit_code_of(status, _failed, is_interrupted=is_interrupted))


def exit_code_of(status: int, failed: Collection[int], *, is_interrupted: bool = False) -> int:
    """Choose Lucy's exit code for a session.

    Args:
        status: pytest's own.
        failed: the exit codes of the runs of tests that failed.
        is_interrupted: whether Ctrl-C ended it.
    """
    if is_interrupted:
        return ExitCode.INTERRUPTED
    match status:
        case pytest.ExitCode.OK:
            return ExitCode.PASSED
        case pytest.ExitCode.TESTS_FAILED:
            return _gravest({ExitCode(code) for code in failed})
        case pytest.ExitCode.INTERRUPTED | pytest.ExitCode.USAGE_ERROR | pytest.ExitCode.NO_TESTS_COLLECTED:
            return ExitCode.USAGE  # nothing could be collected, or there was nothing
        case pytest.ExitCode.INTERNAL_ERROR:
            return ExitCode.INFRASTRUCTURE
        case _:
            return status  # a plugin's, or that of `pytest.exit`


def _gravest(failed: set[ExitCode]) -> ExitCode:
    if len(failed) == 1:
        return next(iter(failed))
    if failed & OF_NODES:
        return ExitCode.FAILED
    order = (ExitCode.INTERRUPTED, ExitCode.INFRASTRUCTURE, ExitCode.INCONCLUSIVE)
    return next((code for code in order if code in failed), ExitCode.FAILED)
