"""A run as it is read: its places, subscriptions to its lines, and its end. Live, passing through, or finished."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lucy_core.arguments import count_of, function_of, instance_of, mapping_of, optional
from lucy_core.capturing import run_files
from lucy_core.delivery.audit import Audit
from lucy_core.delivery.delivery import Delivery, Handle, Job
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate, Group, Sink
from lucy_core.delivery.promises import Promises
from lucy_core.errors import PlaceError, RecordingError
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.recording import Recording
from lucy_core.records.keys import node_of
from lucy_core.records.record import Mark

_INTEREST = instance_of(Interest, "an Interest(…)")
_ASKED = mapping_of(_INTEREST, function_of, "{Interest(): print}")
_GATE = instance_of(Gate, "a Gate()")
_GROUP = instance_of(Group, "a Group(…)")


class Feed:
    """What streams, waits and reports know of a pipeline: nothing of where its lines come from."""

    is_replay = False
    """Whether this is a finished recording, to which nothing is added."""

    def __init__(self, delivery: Delivery, recording: Recording | None) -> None:
        self.recording = recording
        """What has been captured, where it is kept."""
        self.ledger: Ledger = delivery.ledger
        """The account of what was captured, and of what is missing."""
        self.began_ns = 0 if recording is None else recording.began_ns()
        """When the recording began: what tells its marks from those of another run."""
        self.promises = Promises()
        """What was made to be awaited, and wasn't yet."""
        self._delivery = delivery
        self._end = delivery.run_end
        self._audit = None if recording is None else Audit(recording, delivery)

    @property
    def directory(self) -> Path | None:
        """The run directory, where there is one."""
        return None if self.recording is None else self.recording.directory

    @property
    def delivered(self) -> int:
        """The position up to which every live subscriber has seen what it wants."""
        return self._delivery.delivered

    @property
    def arriving_before(self) -> int | None:
        """The position after the block that is being delivered; None outside of subscribers' callbacks."""
        return self._delivery.arriving_before

    @property
    def arriving_ns(self) -> int | None:
        """When the lines that are being delivered arrived; None outside of subscribers' callbacks."""
        return self._delivery.arriving_ns

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived, delivered or not."""
        if self.recording is None or self.ended:
            return Mark(self.delivered, self.began_ns)
        return Mark(max(self.recording.end(), self.delivered), self.began_ns)

    async def fence(self) -> int:
        """Return a position before which everything stands that has arrived by now, delivered or not.

        Whatever comes after it arrives later than this call. A `mark` may miss what capture has read and not yet
        written down.

        Raises:
            CaptureDiedError: the capture process is gone, so nobody can say.
        """
        return self.delivered

    def place(self, since: object) -> int | None:
        """Return the position that a `since=` means; None stays None.

        Raises:
            PlaceError: it is no place in this run.
        """
        if since is None:
            return None
        if isinstance(since, Mark):
            if since.run != self.began_ns:
                raise PlaceError(since, "is a mark of another run")
            since = since.position
        if not isinstance(since, int) or isinstance(since, bool):
            raise PlaceError(since, f"is a {type(since).__name__}")
        if since < 0:
            raise PlaceError(since, "is before the run's beginning")
        end = self.mark().position
        if since > end:
            raise PlaceError(since, f"is beyond the run's end, which is position {end} now")
        return since

    def now_ns(self) -> int:
        """Return the time on the clock that stamps arrivals, in nanoseconds since the epoch; it ends with the run."""
        return self._delivery.last_arrival_ns if self.ended else self._delivery.now_ns()

    def began_at_ns(self, since: int | None) -> int:
        """Return when what begins at a position begins: now or, once the run is over, when that position arrived."""
        if not self.ended or self.recording is None:
            return self.now_ns()
        return self.recording.arrival_ns(since or 0) or self._delivery.last_arrival_ns

    @property
    def recorded_nodes(self) -> tuple[str, ...]:
        """Whose lines there are, or could have been; sources that are yet to be opened aren't among them."""
        keys = dict.fromkeys(self.ledger.nodes)
        if self.directory is not None:
            keys |= dict.fromkeys(run_files.logged(self.directory))
        return tuple(dict.fromkeys(map(node_of, keys)))

    @property
    def live(self) -> int:
        """How many subscriptions get what comes as it comes; those that read back aren't among them."""
        return self._delivery.live

    def subscribe(
        self,
        interest: Interest,
        sink: Sink,
        on_end: Callable[[Exception | None], None],
        *,
        since: int | None = None,
        gate: Gate | None = None,
        group: Group | None = None,
    ) -> Handle:
        """Deliver to `sink` what `interest` names from position `since` on.

        Without `since` it begins with what is delivered next or, on a finished recording, with the first line. Nothing
        is delivered before this returns; only after the run's end may `on_end` come that early. Everything is called on
        the loop, synchronously.

        Args:
            interest: what is wanted.
            sink: takes it, a batch at a time. What it raises cuts it off.
            on_end: called once, when nothing more comes: with the error if there is more, or if the sink raised one.
            since: where it starts.
            gate: lets the subscriber say that it can't take more.
            group: those with whom it reads back, all of whom subscribe in one turn of the loop; it brings the gate.

        Returns:
            What ends it.

        Raises:
            ArgumentError: one of these is of no use.
            RecordingError: the past is wanted, and nothing was recorded, or the recording is closed.
        """
        _INTEREST(interest, "interest")
        function_of(sink, "sink")
        function_of(on_end, "on_end")
        optional(count_of)(since, "since")
        optional(_GATE)(gate, "gate")
        optional(_GROUP)(group, "group")
        if since is None and self.is_replay and not self.is_closed:
            since = 0
        return self._delivery.subscribe(interest, sink, on_end, since=since, gate=gate, group=group)

    async def read_back(self, interest: Interest, sink: Sink, start: int, stop: int) -> None:
        """Give `sink` what `interest` names from `start` to just before `stop`, waiting for `stop` to be delivered.

        Raises:
            RecordingError: it is past, and nothing was recorded, not all of it, or the recording is closed.
            Exception: what `sink` raised.
        """
        _INTEREST(interest, "interest")
        function_of(sink, "sink")
        await self.read_all_back({interest: sink}, start, stop)

    async def read_all_back(self, asked: Mapping[Interest, Sink], start: int, stop: int) -> None:
        """Give each of several sinks what its interest names, as `read_back` does, reading each line once for all.

        Raises:
            RecordingError, Exception: as `read_back` says.
        """
        _ASKED(asked, "asked")
        count_of(start, "start")
        count_of(stop, "stop")
        await self._delivery.read_back(asked, start, stop)

    async def reach(self, position: int) -> None:
        """Wait until all who subscribe now have seen what they want before `position`, or nothing more comes.

        Those who are reading back are waited for as well. Only one who can't take more, whose gate is closed, isn't:
        whether it opens again is its owner's business, who may be the very task that waits here.
        """
        count_of(position, "position")
        await self._delivery.reach(position)

    async def audit(self) -> None:
        """Decode what was captured and not yet decoded, so that the ledger's `malformed` is exact up to here.

        Raises:
            RecordingError: nothing was recorded, or not all that was captured.
        """
        if self._audit is None:
            reason = "can't be judged later: this pipeline keeps no recording"
            raise RecordingError("lines that nobody asked for", reason)
        await self._audit.run()

    def run(self, job: Job) -> None:
        """Run something beside delivery, until the pipeline is closed. It must not raise."""
        self._delivery.run(job)

    @property
    def ended(self) -> bool:
        """Whether the run is over, and nothing comes any more."""
        return self._delivery.ended

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be read back any more."""
        return self._delivery.closed

    def abort(self, error: BaseException) -> None:
        """Say that the run is over for whoever waits. Lines are delivered on. Again changes nothing."""
        self._end.abort(error)

    def go_on(self) -> None:
        """Let whoever waits from now on wait again: those who share the run do without what has ended it."""
        self._end.aborted = None

    @property
    def aborted(self) -> BaseException | None:
        """Why the run is over for whoever waits, if it is: a node or the capture died, or a callback ended the run."""
        return self._end.aborted

    def when_aborted(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call once the run is over for whoever waits, or now if it is; return what takes that back."""
        return self._end.when_aborted(call)

    @property
    def escaped(self) -> BaseException | None:
        """Why the run is over for whoever waits, where a callback has ended it."""
        return self._end.escaped

    @property
    def cut_off(self) -> tuple[Exception, ...]:
        """What callbacks raised that has cut them off and ended nothing else."""
        return tuple(self._end.cut_off)

    def report_cut_off(self, report: Callable[[str], None]) -> None:
        """Have subscribers that raised reported, beside the ledger."""
        self._end.on_cut_off = report

    def report_escape(self, report: Callable[[BaseException], None]) -> None:
        """Have what a callback raises that ends the run (`SystemExit`, `pytest.fail`) end it so.

        Without this, the block in which the pipeline is open is cancelled. Either way it raises the error at its end,
        unless it ends with another.
        """
        self._end.on_escape = report

    def report(self, subscriber: str, error: BaseException) -> None:
        """Have what a callback raised heard: by the ledger and the run, or, where it ends the run, by its owner."""
        self._end.report(subscriber, error)
