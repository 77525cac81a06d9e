"""Writes log lines from a separate thread, so that a stalled reader or disk cannot stop the router.

Nothing here blocks the caller. Lines that find the queue full are dropped and counted; their number is reported as
soon as lines can be written again.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

#: Lines that may wait to be written; about 400 bytes each, so about 3 MiB.
QUEUE_LINES: Final = 8192
#: How long the end of the process waits for the last lines, in seconds.
FLUSH_SECONDS: Final = 1.0


class LogWriter:
    """Writes lines to ``stream`` (None: discards them). ``dropped(n)`` is called when ``n`` lines were lost and others can
    be written again; it may call `write`.
    """

    def __init__(self, stream: TextIO | None, *, dropped: Callable[[int], None] = lambda _: None) -> None:
        self._emit = _emitter(stream)
        self._tell = dropped
        self._lines: queue.SimpleQueue[str | threading.Semaphore] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._dropped = 0  # found the queue full; guarded by the lock
        self._failed = 0  # could not be written; the thread's own
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Queue ``line``, without its line end. Returns at once and never raises; if the queue is full it is dropped."""
        if self._emit is None:
            return
        with self._lock:
            if self._thread is None:  # not before the first line: a process that only forks has no thread to lose
                self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
                self._thread.start()
            waiting = self._lines.qsize()
            # After a drop half of the queue must be free again: otherwise every second line would report a dropped one.
            if waiting >= QUEUE_LINES or (self._dropped and waiting > QUEUE_LINES // 2):
                self._dropped += 1
                return
            missed, self._dropped = self._dropped, 0
        if missed:
            self._tell(missed)
        self._lines.put(line)

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all queued lines are written; False if that took longer than ``seconds``. For the end of the process."""
        if self._thread is None:
            return True
        done = threading.Semaphore(0)
        self._lines.put(done)
        return done.acquire(timeout=seconds)

    def _run(self) -> None:
        assert self._emit is not None
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Semaphore):
                if self._tell_missed():
                    self._lines.put(line)  # after that
                else:
                    line.release()
                continue
            try:
                self._emit(line)
            except (OSError, ValueError):  # a pipe without a reader, a full disk, a closed file: the line is lost
                self._failed += 1
            else:
                missed, self._failed = self._failed, 0
                if missed:
                    self._tell(missed)
            if self._lines.empty():
                self._tell_missed()

    def _tell_missed(self) -> bool:
        """The queue is empty: report what was dropped. Returns whether anything was."""
        with self._lock:
            missed, self._dropped = self._dropped, 0
        if missed:
            self._tell(missed)
        return missed > 0


def _emitter(stream: TextIO | None) -> Callable[[str], None] | None:
    """The function that writes a line to ``stream``; None if it cannot be written to.

    The process's standard error is written past Python's buffer: a thread that blocks in the buffer holds its lock, and
    the interpreter could not end then.
    """
    if stream is None or stream.closed:
        return None
    if sys.__stderr__ is not None and stream is sys.__stderr__:
        fd: int = stream.fileno()
        return lambda line: write_all(fd, line.encode(errors="backslashreplace") + b"\n")

    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    return write


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``, waiting as long as necessary.

    Raises:
        OSError: it cannot be written.
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # another process that shares the terminal or pipe made it non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
