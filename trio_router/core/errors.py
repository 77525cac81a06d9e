"""What can go wrong that a caller should tell apart. Each says whose fault it was and whether trying again may help."""

from __future__ import annotations

import errno
from typing import Final

#: `OSError.errno` of what this process lacks itself: descriptors or memory. Nobody else is to blame for it.
OWN_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class RouterError(Exception):
    """Base of what this package raises on purpose."""


class ConfigError(RouterError, ValueError):
    """A configuration that cannot be used. ``problems`` holds every mistake, each with its path in the file."""

    def __init__(self, problems: list[str], *, source: str | None = None) -> None:
        self.problems = problems
        self.source = source
        head = f"{source}: " if source else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{head}{count}\n" + "\n".join(f"  {line}" for line in problems))


class StartError(RouterError, OSError):
    """A port or a file that the router needs cannot be used here. The text names it."""


class DialError(RouterError):
    """A replica did not take a connection. The text is for operators and may name addresses; it never goes to a client.

    ``refused``: it answered and said no: it is up, but busy. ``status`` is the HTTP status that it answered the upgrade
    with, if it did. ``reached``: the client's request had reached it, so what the client said may be the cause.
    ``timed_out``: it gave no answer in time. ``own``: the router's own trouble (no file descriptors), not the replica's.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: bool = False,
        status: int | None = None,
        reached: bool = False,
        timed_out: bool = False,
        own: bool = False,
    ) -> None:
        self.refused = refused
        self.status = status
        self.reached = reached or status is not None
        self.timed_out = timed_out
        self.own = own
        #: An HTTP status that is meant for the client (401, 404, …), not a trouble of the replica's own.
        self.is_answer = status is not None and 400 <= status < 500 and not refused
        super().__init__(message)


class HeadTooLarge(RouterError):
    """A peer sent an HTTP head of more than ``limit`` bytes. The peer's fault; the same request will fail again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"an HTTP head of more than {limit} bytes")


def own_shortage(exc: BaseException | None) -> OSError | None:
    """The error of this process's own lack of descriptors or memory that ``exc`` is, contains or was caused by, if any."""
    if exc is None:
        return None
    if isinstance(exc, OSError) and exc.errno in OWN_SHORTAGE:
        return exc
    inner = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    causes = (exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__), *inner)
    return next((found for cause in causes if (found := own_shortage(cause)) is not None), None)
