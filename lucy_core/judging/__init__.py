"""Judging: conditions, waits, why a verdict can be relied on (the theory stands in `waiting`), and the result."""
