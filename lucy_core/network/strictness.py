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
    """Hold the first malformed line of a node against the run, as its format says. Torn ones are nobody's fault."""
    handles: list[Handle] = []

    def hold(lines: list[Malformed]) -> None:
        whole = (each for each in lines if not each.torn)
        line = next((each for each in whole if chosen.of(each.source).malformed is not Strictness.COUNT), None)
        if line is None:
            return
        handles[0].cancel()
        log_format = chosen.of(line.source)
        error = MalformedLineError(node, line.position, log_format.name, line.reason, line.raw)
        if log_format.malformed is Strictness.FAIL:
            run.fail(error)
        else:
            run.soft_error(str(error), kind="malformed line")

    handles.append(run.pipeline.subscribe(Interest(nodes=node, kind=Malformed), hold, lambda _: None))
