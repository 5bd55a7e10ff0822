"""How the command line shows a run: which views, what goes where, and what is said at the end."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from lucy_core.executive.showing import events_out
from lucy_core.executive.showing.events_out import EventLines
from lucy_core.executive.showing.plain import PlainLines
from lucy_core.executive.showing.views import Sheltered, View
from lucy_core.executive.showing.voice import Failure, Voice
from lucy_core.executive.signals import Signals
from lucy_core.reports.text import report
from lucy_core.run.run import Run

REPORT_SECONDS = 1.0
"""What a slow reader gets at last: of the report before stdout's last line, which says what he was not shown; and of
the sentence on what others were not shown."""


@final
class Showing:
    """One run, shown to people and, as JSON lines, to a program."""

    def __init__(self, voice: Voice, title: str, *, json: bool, live: bool) -> None:
        """Choose how. `json` and `live` are wishes; without one it depends on what stdout is.

        JSON lines are for pipes and files, plain lines beside them for people; a terminal has the live view, and one
        that can't move its cursor plain lines.
        """
        self._voice = voice
        self._lines = EventLines(voice.out, voice.failed) if json or not (live or voice.out.isatty()) else None
        shown: list[View] = [] if self._lines is None else [self._lines]
        if self._lines is None and (live or os.environ.get("TERM", "dumb") not in ("dumb", "")):
            from rich.console import Console

            from lucy_core.executive.showing.live import LiveView

            console = Console(file=voice.out_text, force_terminal=True if live else None)
            shown.append(LiveView(title, console, voice.failed))
        else:
            shown.append(PlainLines(voice))
        self.views: list[View] = [Sheltered(view, voice.failed) for view in shown]

    @contextmanager
    def prints_kept_apart(self) -> Iterator[None]:
        """Keep what a scenario prints out of the JSON lines: it is for people, so it goes to stderr."""
        with contextlib.redirect_stdout(sys.stderr) if self._lines is not None else contextlib.nullcontext():
            yield

    def began(self, run: Run) -> None:
        lines = self._lines
        if lines is not None:
            self._try("the first line", lambda: lines.put(events_out.line("RunStarted", run.order.description())))

    def report(self, run: Run) -> None:
        """Tell people what became of it. Somebody who is slow to read other things need not be waited for."""
        self._try("the report", lambda: self._say_report(run))
        if run.unwritten is not None:
            self._voice.say(f"lucy: {run.unwritten}")

    def ended(self, run: Run) -> None:
        """Say what could not be shown, and to a program what became of the run."""
        deadline = time.monotonic() + REPORT_SECONDS
        self._voice.err.hand.rest(until=lambda: time.monotonic() > deadline)
        for loss in self._voice.new_losses():
            self._say_elsewhere(loss)
        if self._lines is not None:
            self._try("the last line", lambda: self._voice.out.put(events_out.line("RunEnded", run.result())))

    def _say_report(self, run: Run) -> None:
        self._voice.say_as_it_is(report(run.result(), coloured=self._voice.is_coloured, kept=run.kept))

    def _try(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # told; the run goes on
            self._voice.failed(Failure(what, error))

    def _say_elsewhere(self, loss: str) -> None:
        if not self._voice.err.is_gone:
            self._voice.say(f"lucy: {loss}")
        if self._voice.err.trouble is None:
            return
        if self._lines is not None:
            self._voice.out.put(events_out.line("NotShown", loss))
        else:
            self._voice.out.put(f"lucy: {loss}\n".encode(errors="backslashreplace"))


def say_the_rest(code: int, signals: Signals, voice: Voice) -> None:
    """Wait for slow readers, for as long as no signal comes, and say what could not be shown since the run's end."""
    signals.over(code)
    voice.rest(lambda: signals.is_hurried)
    for loss in voice.new_losses(of_readers=False):
        voice.say(f"lucy: {loss}")
    deadline = time.monotonic() + REPORT_SECONDS
    voice.err.hand.rest(until=lambda: time.monotonic() > deadline)
