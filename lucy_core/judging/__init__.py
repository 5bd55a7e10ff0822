"""Judging: conditions, waits, and why a verdict can be relied on. The theory stands in `waiting`."""
