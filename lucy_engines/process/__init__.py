"""Nodes as local processes: the embedded default engine."""

from lucy_engines.process.engine import ProcessEngine

__all__ = ["ProcessEngine"]
