"""Lucy's own log: JSON on stderr, warnings and worse unless asked for more. Configured here and nowhere else."""

import logging
import sys

import structlog


def configure_logs(*, debug: bool) -> None:
    """Have the whole process log to what is `sys.stderr` at the time of each line (the live view swaps it)."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.WARNING),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
