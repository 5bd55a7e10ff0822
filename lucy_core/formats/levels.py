"""What the author of a format's options says about words for severities. Sans-IO."""

from typing import Any

from lucy_core.arguments import mapping_of, optional, readable_text
from lucy_core.errors import ArgumentError
from lucy_core.records.severity import Severity, severity_of


def _severity(value: Any, name: str) -> Severity:
    if isinstance(value, str):
        named = Severity.__members__.get(value.upper())
        found = severity_of(value) or None if named is None else named
        if found is not None:
            return found
    elif isinstance(value, int) and not isinstance(value, bool) and value in set(Severity):
        return Severity(value)
    raise ArgumentError(name, value, "is no severity; give one, like lucy.Severity.ERROR or 'ERROR'")


LEVELS = optional(mapping_of(readable_text, _severity, "{'E': 'ERROR', 'W': 'WARN'}"))
"""What may be given as `levels=`: severities, or their names, by the words that mean them."""
