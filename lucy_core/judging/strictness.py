"""Lines that a node's format can't read, held against the run where the format was chosen so."""

from typing import Protocol

from lucy_core.delivery.delivery import Handle
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import MalformedLineError
from lucy_core.formats.choice import NodeFormats
from lucy_core.formats.contract import Strictness
from lucy_core.records.record import Malformed


class Run(Protocol):
    """What is needed of the run."""

    pipeline: Pipeline

    def soft_error(self, message: str, kind: str) -> None:
        """Hold something against the run and go on."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the run from outside the test."""
        ...


def hold_malformed(run: Run, node: str, chosen: NodeFormats) -> None:
    """Hold the first malformed line of a node against the run, as its format says. Torn ones are nobody's fault.

    Where the formats of its sources are not alike in this, the first that is soft is no end of those that fail.
    """
    handles: list[Handle] = []
    left = chosen.strictnesses - {Strictness.COUNT}

    def hold(lines: list[Malformed]) -> None:
        for line in lines:
            log_format = chosen.of(line.source)
            if line.torn or log_format.malformed not in left:
                continue
            left.remove(log_format.malformed)
            error = MalformedLineError(node, line.position, log_format.name, line.reason, line.raw)
            if log_format.malformed is Strictness.FAIL:
                left.clear()
                run.fail(error)
            else:
                run.soft_error(str(error), kind="malformed line")
        if not left:
            handles[0].cancel()

    handles.append(run.pipeline.subscribe(Interest(nodes=node, kind=Malformed), hold, lambda _: None))
