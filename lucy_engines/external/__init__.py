"""Networks that somebody else runs."""

from lucy_engines.external.engine import ExternalEngine

__all__ = ["ExternalEngine"]
