"""What is known of a node with several sources: their accounts, added up."""

from lucy_core.formats.choice import formats_of, written
from lucy_core.recording.account import NodeLedger
from lucy_core.recording.ledger import Ledger


def test_a_node_of_several_sources_has_its_format_and_no_stranger_is_a_failure_of_theirs() -> None:
    ledger = Ledger()
    ledger.nodes["db"] = NodeLedger(format=written(formats_of("klog", "log_format")))
    ledger.nodes["db/stdout"] = NodeLedger(lines=2)
    ledger.account("db/stderr").turn_away(3, "had no token")
    whole = ledger.of("db")
    assert (whole.format_name, whole.lines, whole.strangers) == ("klog", 2, 3)
    assert str(whole).endswith("3 turned away, the first being a stranger at its port that had no token")
    assert "SOURCE FAILED" not in str(whole)
