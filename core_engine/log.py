"""Structured logs on stderr, so that stdout carries nothing but what a command was asked to print."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


class _CurrentStderr:
    """Looks stderr up at each line, so that a live progress bar that has taken it over stays whole."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def ensure_logging() -> None:
    """For Python users: structlog's own default would print every debug line on stdout."""
    if not structlog.is_configured():
        configure_logging()


def configure_logging(verbosity: int = 0) -> None:
    """``verbosity``: -1 warnings only, 0 information, 1 everything, with tracebacks of plugins that failed."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    stream: TextIO = _CurrentStderr()  # type: ignore[assignment]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
