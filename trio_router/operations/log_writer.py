"""Writes log lines from a thread of its own, so that whoever reads them, or the disk, can stall without stopping the router.

Nothing in here blocks the caller. Lines that find the queue full are dropped and counted; how many it were is told as
soon as lines flow again.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO

#: Lines that may wait to be written; some 400 bytes each, so about 3 MiB.
QUEUE_LINES: Final = 8192
#: How long the end of the process waits for the last lines.
FLUSH_SECONDS: Final = 1.0


class LogWriter:
    """Writes lines to ``stream`` (None: nowhere). ``dropped(n)`` is called when lines flow again after ``n`` were lost.

    ``dropped`` may `write` a line itself.
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
        """Have ``line`` written, with a line end. Returns at once and never raises, whatever becomes of the queue."""
        if self._emit is None:
            return
        with self._lock:
            if self._thread is None:  # not before the first line: a process that only forks has no thread to lose
                self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
                self._thread.start()
            waiting = self._lines.qsize()
            # After a drop half of the queue must be free again: else every second line would tell of a dropped one.
            if waiting >= QUEUE_LINES or (self._dropped and waiting > QUEUE_LINES // 2):
                self._dropped += 1
                return
            missed, self._dropped = self._dropped, 0
        if missed:
            self._tell(missed)
        self._lines.put(line)

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until what was given so far is written; False if that took longer. To be called when the process ends."""
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
        """All that was kept is written: tell of what was not. Returns whether there was anything to tell."""
        with self._lock:
            missed, self._dropped = self._dropped, 0
        if missed:
            self._tell(missed)
        return missed > 0


def _emitter(stream: TextIO | None) -> Callable[[str], None] | None:
    """How a line gets into ``stream``.

    The process's own standard error is written past Python's buffer: a thread that is stuck in the buffer holds its
    lock, and the interpreter cannot end then.
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
    """Write all of ``data``, however long that takes.

    Raises:
        OSError: it cannot be written.
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody who shares the terminal or the pipe has made it non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
