"""File descriptors: how many this process may have, and the ones that are kept for who asks how the router is.

The kernel hands out the lowest free number. So a descriptor just below the limit says that all others are taken, and it
costs nothing to ask: `is_reserve`. Sessions and dials leave the last `RESERVE` descriptors alone. They remain for
`/health`, `/readyz` and `/status`, which an operator needs most in just that moment.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

#: Descriptors that no session gets, at most; with a small limit a quarter of it.
RESERVE: Final = 64


def raise_file_limit() -> str:
    """Raise this process's soft limit of open files to its hard limit. Returns the limit, in words for the start line.

    For programs that the router owns; an embedder's limit is the embedder's.
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
    """Whether ``fd`` is one of the last descriptors that this process can have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and fd >= soft - min(RESERVE, soft // 4)


def open_standard_files() -> None:
    """Where 0, 1 or 2 was closed at start, open ``/dev/null`` there: else a client's connection would get that number,
    and what a library prints to standard error would reach the client.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stderr is None:  # click and the interpreter's own tracebacks expect one
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  for as long as the process lives
