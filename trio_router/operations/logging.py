"""Form and destination of logs: text on a terminal, JSON elsewhere, on standard error, without blocking.

A program that embeds the router gets no output by default: `get_logger` writes to structlog if that was configured (by
`configure_logs`, or by the program), else to the standard logger ``trio_router``, which has a `logging.NullHandler`.
"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from trio_router.core.config import LogConfig
from trio_router.operations.log_writer import LogWriter

logging.getLogger("trio_router").addHandler(logging.NullHandler())


@dataclass(slots=True)
class _Threshold:
    """A processor that drops lines below a level, which can be changed while the router runs."""

    level: int = logging.DEBUG

    def set(self, name: str) -> None:
        self.level = logging.getLevelNamesMapping()[name.upper()]

    def __call__(self, logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if logging.getLevelNamesMapping().get("ERROR" if method == "exception" else method.upper(), 0) < self.level:
            raise structlog.DropEvent
        return fields


_threshold = _Threshold()


class EventLogger:
    """Logs events with fields. Every method returns at once."""

    def __init__(self, name: str) -> None:
        self._structlog: Any = structlog.get_logger(name)
        self._stdlib = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Detail for finding a fault."""
        self._log("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Normal operation."""
        self._log("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator may have to act on."""
        self._log("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something does not work."""
        self._log("error", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """A bug: logged as an error, with the traceback of the exception that is being handled."""
        self._log("exception", event, fields)

    @property
    def writes_info(self) -> bool:
        """Whether an info line would be written: for callers whose fields cost something to gather."""
        if not structlog.is_configured():
            return self._stdlib.isEnabledFor(logging.INFO)
        ask = getattr(self._structlog, "is_enabled_for", None)
        return ask is None or bool(ask(logging.INFO))

    def _log(self, method: str, event: str, fields: dict[str, object]) -> None:
        if structlog.is_configured():
            getattr(self._structlog, method)(event, **fields)
            return
        level = logging.ERROR if method == "exception" else logging.getLevelNamesMapping()[method.upper()]
        if self._stdlib.isEnabledFor(level):
            text = " ".join([event, *(f"{key}={value!r}" for key, value in fields.items())])
            self._stdlib.log(level, "%s", text, exc_info=method == "exception")


def get_logger(name: str) -> EventLogger:
    """The logger for one module; see the module for where its lines go."""
    return EventLogger(name)


class _WriterLogger:
    """The logger to which structlog passes rendered lines."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, message: str) -> None:
        """Queue one rendered line for writing."""
        self._writer.write(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure_logs(config: LogConfig) -> LogWriter:
    """Send logs to standard error in the form that ``config`` selects. Standard output stays free for results.

    A thread writes them (`LogWriter`): a stalled reader costs lines, never a session. The last lines are written when the
    process ends, unless that takes longer than a second.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    _threshold.set(config.level)
    shared: list[Any] = [
        _threshold,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if config.format == "console" or (config.format == "auto" and terminal):
        shared.append(structlog.dev.ConsoleRenderer(colors=terminal))
    else:
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    writer = LogWriter(sys.stderr, dropped=_tell_dropped)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # `_threshold` decides, and can be changed
        logger_factory=lambda *_: _WriterLogger(writer),
        cache_logger_on_first_use=True,
    )
    atexit.register(writer.flush)
    return writer


def set_log_level(level: str) -> None:
    """Drop lines below ``level`` from now on. It counts only where `configure_logs` was used; embedders have their own."""
    _threshold.set(level)


def _tell_dropped(lines: int) -> None:
    """Log it as an error, so that no level hides it."""
    get_logger("trio_router.operations.logging").error(f"{lines} log lines were dropped", lines=lines)
