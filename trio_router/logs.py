"""How logs look: lines for people on a terminal, JSON elsewhere. Embedders configure structlog as they like instead."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog

from .core.config import LogConfig


class _Log(structlog.PrintLogger):
    """Standard error may be a pipe that broke, or a disk that is full: a line is lost then, never a session."""

    def msg(self, message: str) -> None:
        """Print it, if it can be printed."""
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure_logs(config: LogConfig) -> None:
    """Send logs to standard error in the form that ``config`` asks for. Standard output stays free for answers."""
    console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        shared.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[config.level.upper()]),
        logger_factory=lambda *_: _Log(sys.stderr),
        cache_logger_on_first_use=True,
    )
