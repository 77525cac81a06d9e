"""The errors that a caller should distinguish. Each names whose fault it was and whether trying again may help."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

#: `OSError.errno` when this process itself lacks descriptors or memory. No peer is to blame.
OWN_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class RouterError(Exception):
    """Base of the exceptions that this package raises deliberately."""


class Place(NamedTuple):
    """A position in a file: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One mistake or warning. ``text`` begins with the path of the key; ``place`` is None for what is not from a file."""

    text: str
    place: Place | None = None

    def line(self, source: str | None = None) -> str:
        """As compilers print it: ``FILE:LINE:COLUMN: text``, which editors can jump to."""
        if self.place is None:
            return f"{source}: {self.text}" if source else self.text
        if source:
            return f"{source}:{self.place.line}:{self.place.column}: {self.text}"
        return f"line {self.place.line}, column {self.place.column}: {self.text}"


class ConfigError(RouterError, ValueError):
    """A configuration that cannot be used. ``found`` holds every mistake, ``problems`` the text of each; ``warnings`` are
    the doubts about the same file, as far as it could be read."""

    def __init__(
        self, problems: Sequence[str | Problem], *, source: str | None = None, warnings: Sequence[Problem] = ()
    ) -> None:
        self.found = [Problem(problem) if isinstance(problem, str) else problem for problem in problems]
        self.warnings = list(warnings)
        self.source = source
        head = f"{source}: " if source else ""
        super().__init__(f"{head}{self.count}\n" + "\n".join(f"  {problem.line(source)}" for problem in self.found))

    @property
    def problems(self) -> list[str]:
        """Every mistake with its path in the file, without its line."""
        return [problem.text for problem in self.found]

    @property
    def count(self) -> str:
        """The number of mistakes as text: "1 problem", "3 problems"."""
        return "1 problem" if len(self.found) == 1 else f"{len(self.found)} problems"


class ReloadRefused(RouterError):
    """A good configuration that a running router cannot take over. ``keys`` need a restart; nothing has changed."""

    def __init__(self, message: str, *, keys: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)
        super().__init__(message)


class StartError(RouterError, OSError):
    """A port or a file that the router needs cannot be used here. The text names it."""


class DialError(RouterError):
    """A replica did not take a connection. The text is for operators and may name addresses; it never goes to a client.

    ``refused``: it answered, but is busy. ``status``: the HTTP status of its answer to the upgrade, if there was one.
    ``reached``: the client's request had reached it, so what the client sent may be the cause. ``timed_out``: no answer in
    time. ``own``: the router itself lacks file descriptors or memory; the replica is not at fault.
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
        #: The HTTP status is meant for the client (401, 404, …) and is not a fault of the replica.
        self.is_answer = status is not None and 400 <= status < 500 and not refused
        super().__init__(message)


class HeadTooLarge(RouterError):
    """A peer sent an HTTP head of more than ``limit`` bytes. The peer's fault; the same request will fail again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"an HTTP head of more than {limit} bytes")


def own_shortage(exc: BaseException | None) -> OSError | None:
    """The OSError for this process's own lack of descriptors or memory that ``exc`` is, contains or was caused by; or None."""
    if exc is None:
        return None
    if isinstance(exc, OSError) and exc.errno in OWN_SHORTAGE:
        return exc
    inner = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    causes = (exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__), *inner)
    return next((found for cause in causes if (found := own_shortage(cause)) is not None), None)
