"""File descriptors: the limit of this process, and the reserve that is kept for health and status requests.

The kernel hands out the lowest free number, so a descriptor just below the limit means that all others are taken;
`is_reserve` is free of system calls for that reason. Sessions and dials leave the last `RESERVE` descriptors to `/health`,
`/readyz` and `/status`, which an operator needs most at that moment.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

#: Descriptors that no session gets; with a small limit, a quarter of the limit.
RESERVE: Final = 64


def raise_file_limit() -> str:
    """Raise this process's soft limit of open files to its hard limit. Returns the limit as text for the start line.

    Only for processes that the router owns; a program that embeds it keeps its own limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return str(soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as exc:  # a sandbox may forbid it
        return f"{soft} (cannot be raised to {hard}: {exc})"
    return f"{hard} (raised from {soft})"


def is_reserve(fd: int) -> bool:
    """Whether ``fd`` is one of the last `RESERVE` descriptors that this process can have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and fd >= soft - min(RESERVE, soft // 4)


def open_standard_files() -> None:
    """Open ``/dev/null`` for each of 0, 1 and 2 that was closed at start.

    Otherwise a client's connection would get that number, and what a library prints to standard error would be sent to it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stderr is None:  # click and the interpreter's tracebacks need one
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  for as long as the process lives
