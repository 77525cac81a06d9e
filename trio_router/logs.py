"""How logs look: lines for people on a terminal, JSON elsewhere. Embedders configure structlog as they like instead."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from .core.config import LogConfig


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
