"""What can go wrong that a caller should tell apart. Each says whose fault it was and whether trying again may help."""

from __future__ import annotations


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
    """A replica did not take a connection. ``refused`` means that it answered and said no: it is up, but busy.
    ``status`` is the HTTP status that it answered the upgrade with, if it did.

    The text is for operators and may name addresses; it never goes to a client.
    """

    def __init__(self, message: str, *, refused: bool = False, status: int | None = None) -> None:
        self.refused = refused
        self.status = status
        #: An HTTP status that is meant for the client (401, 404, …), not a trouble of the replica's own.
        self.is_answer = status is not None and 400 <= status < 500 and not refused
        super().__init__(message)


class HeadTooLarge(RouterError):
    """A peer sent an HTTP head of more than ``limit`` bytes. The peer's fault; the same request will fail again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"an HTTP head of more than {limit} bytes")
