"""One task that waits for thousands of sockets. It knows descriptors and callbacks, not what is read.

`Poller.drive` means exactly

    while (result := step()) is None:
        await trio.lowlevel.wait_readable(fd)

and costs less. Trio registers a socket anew for each wait (its epoll is one-shot) and switches to the waiting task for
each message: two system calls and about 5 us of Python per message. Here a socket is registered once, in a separate
epoll that Trio waits for as a whole, and ``step`` is called directly by the one task that runs `Poller.run`. The task
in `drive` sleeps until ``step`` returns a result: an end, a full sink, an error. It remains the owner: cancelling it
ends the wait, and what ``step`` raises is raised there.

A socket stays registered when its `drive` has returned, because another one usually follows; it is unregistered only if
it becomes readable meanwhile. So a socket that was ever waited for must be reported by `Poller.closing` before it closes.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import outcome
import trio

from trio_router.operations.logging import get_logger

log = get_logger("trio_router.net.poller")

T = TypeVar("T")

#: Most sockets served before Trio's other tasks get a turn, and the time limit of such a turn. A read and a write of
#: 1 MiB take about 0.4 ms. Sockets that were not served in one turn are first in the next.
EVENTS_PER_TURN: Final = 256
SECONDS_PER_TURN: Final = 0.004
#: Pause after a turn that raised, so that a permanent fault does not take all CPU.
BROKEN_SECONDS: Final = 0.05
#: Most tasks woken in one turn. What a woken task does is outside this module: a session that ends costs about 250 us,
#: so 8,000 ends at once delayed all others by two seconds. Ends have a queue of their own (`drive`), so that nothing
#: else waits for them.
TASKS_PER_TURN: Final = 64
ENDS_PER_TURN: Final = 8
_HUNG_UP: Final = select.EPOLLRDHUP  # EPOLLHUP and EPOLLERR are always reported
_READABLE: Final = select.EPOLLIN | _HUNG_UP


class _Wait:
    """One `Poller.drive` in progress."""

    __slots__ = ("end", "fd", "late", "over", "poller", "step", "task", "woken")

    def __init__(self, poller: Poller, fd: int, step: Callable[[], Any], end: object) -> None:
        self.poller = poller
        self.fd = fd
        self.step = step
        self.end = end
        self.task = trio.lowlevel.current_task()
        self.woken: object = None  # while its own step was under way
        self.late = False  # its step has returned, and the task is woken in a later turn
        self.over = False

    def wake(self, result: object) -> None:
        """Its own step is under way: what that returns or raises has precedence."""
        self.woken = result

    def set_late(self) -> None:
        """Its step is through with it; it is told later."""
        self.late = True

    def set_over(self) -> None:
        """It is told, or cancelled."""
        self.over = True

    def abort(self, _: object) -> trio.lowlevel.Abort:
        if self.late:  # the result may be bytes that were read, so it must not be lost
            return trio.lowlevel.Abort.FAILED
        self.poller.leave(self)
        return trio.lowlevel.Abort.SUCCEEDED


class Poller:
    """Level-triggered: one read per turn is enough, because a socket with more to read is served again, after the others."""

    __slots__ = ("_ends", "_epoll", "_late", "_ready", "_serving", "_waits", "broken_turns", "now")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: list[tuple[int, int]] = []  # events that the last turn had no time for, the next one last
        self._waits: dict[int, _Wait | None] = {}  # by registered socket; None: no task waits for it
        self._serving: _Wait | None = None  # the wait whose step is running
        self.broken_turns = 0
        self._late: deque[tuple[_Wait, outcome.Outcome[Any]]] = deque()  # tasks to be woken, in order
        self._ends: deque[tuple[_Wait, outcome.Outcome[Any]]] = deque()  # the same for tasks that will only clean up
        self.now = 0.0  # Trio's clock at the start of the turn: exact enough for deadlines of seconds, and free

    def __repr__(self) -> str:
        return f"<Poller waiting={self.waiting}>"

    @property
    def waiting(self) -> int:
        """Number of sockets that tasks wait for."""
        return sum(wait is not None for wait in self._waits.values())

    def __enter__(self) -> Poller:
        return self

    def __exit__(self, *_: object) -> None:
        # Not in `run`: when all is cancelled at once, `run` may end before the last `drive` takes its socket out.
        self._epoll.close()

    async def run(self) -> None:
        """Serve `drive` until cancelled. What a step raises, its waiter raises; a turn that raises is logged and retried."""
        try:
            while True:
                try:
                    if self._ready or self._ends or self._late:
                        await trio.lowlevel.checkpoint()
                    else:
                        await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self._turn()
                except Exception:
                    if self._epoll.closed:
                        raise
                    self._serving = None
                    self.broken_turns += 1
                    log.exception("a turn of the poller is broken", broken_turns=self.broken_turns)
                    await trio.sleep(BROKEN_SECONDS)
        finally:  # these cannot be cancelled any more, and there is no later turn
            self._tell(len(self._late), len(self._ends))

    def drive(self, fd: int, step: Callable[[], T | None], *, end: object = None) -> Awaitable[T]:
        """Call ``step`` whenever ``fd`` is readable, until it returns something; return that. See the module.

        Of the tasks whose step returned ``end`` (or raised) only a few are woken per turn, because thousands may end at once.

        Must be awaited at once. A plain function, not a coroutine: thousands of idle sessions wait here, and each would
        hold a coroutine more.
        """
        waits = self._waits
        if fd not in waits:
            self._epoll.register(fd, _READABLE)
        elif waits[fd] is not None:
            raise trio.BusyResourceError("another task waits for this socket")
        wait = waits[fd] = _Wait(self, fd, step, end)
        return trio.lowlevel.wait_task_rescheduled(wait.abort)  # noqa: ASYNC105  the caller awaits it

    async def wait_hangup(self, fd: int, result: T) -> T:
        """Wait until the peer has sent an end of stream or a reset, even with bytes unread; return ``result``.

        Also returns when `wake` or `closing` is called, with their result. Reads nothing. Excludes `drive` of ``fd``.
        """
        waits = self._waits
        if fd not in waits:
            self._epoll.register(fd, _HUNG_UP)
        elif waits[fd] is not None:
            raise trio.BusyResourceError("another task waits for this socket")
        else:
            self._epoll.modify(fd, _HUNG_UP)
        wait = waits[fd] = _Wait(self, fd, lambda: result, result)
        try:
            told: T = await trio.lowlevel.wait_task_rescheduled(wait.abort)
        finally:
            if waits.get(fd, wait) is None:  # neither closed, nor a new socket of the same number
                self._take_out(fd)
        return told

    def wake(self, fd: int, result: object) -> None:
        """Make the `drive` of ``fd`` return ``result`` now; no effect if there is none."""
        wait = self._waits.get(fd)
        if wait is not None:
            self._wake(wait, result)

    def closing(self, fd: int, result: object = None) -> None:
        """Report that ``fd`` is about to be closed: its `drive` returns ``result``, and the socket is forgotten.

        epoll drops a closed socket silently, and the next socket may get the same number.
        """
        wait = self._waits.pop(fd, None)
        if wait is not None:
            self._wake(wait, result)

    def _wake(self, wait: _Wait, result: object) -> None:
        if wait is self._serving:  # what its step returns or raises has precedence
            wait.wake(result)
        else:
            self._finish(wait, outcome.Value(result))

    def _turn(self) -> None:
        self.now = trio.current_time()
        until = time.monotonic() + SECONDS_PER_TURN
        waits = self._waits
        if not self._ready:
            self._ready = self._epoll.poll(0, EVENTS_PER_TURN)
            self._ready.reverse()
        while self._ready and time.monotonic() < until:
            wait = waits.get(fd := self._ready.pop()[0])
            if wait is None:
                self._take_out(fd)
                continue
            self._serving = wait
            try:
                result = wait.step()
            except BaseException as exc:  # not swallowed: raised in the task that waits
                self._finish_late(self._ends, wait, outcome.Error(exc))
            else:
                if result is None:
                    result = wait.woken
                if result is not None:
                    queue = self._ends if result is wait.end else self._late
                    self._finish_late(queue, wait, outcome.Value(result))
        self._serving = None
        self._tell(TASKS_PER_TURN, ENDS_PER_TURN)

    def _tell(self, tasks: int, ends: int) -> None:
        """Wake up to ``tasks`` tasks whose steps have returned, and up to ``ends`` of those that only clean up."""
        for queue, most in ((self._late, tasks), (self._ends, ends)):
            while queue and most:
                most -= 1
                self._finish(*queue.popleft())

    def _finish_late(
        self, queue: deque[tuple[_Wait, outcome.Outcome[Any]]], wait: _Wait, result: outcome.Outcome[Any]
    ) -> None:
        """Queue the result for the task. No step follows; mostly it is woken at the end of this turn."""
        if not wait.over:  # it may have been cancelled by its own step
            wait.set_late()
            self._waits_no_more(wait)
            queue.append((wait, result))

    def _finish(self, wait: _Wait, result: outcome.Outcome[Any]) -> None:
        self.leave(wait)
        trio.lowlevel.reschedule(wait.task, result)

    def leave(self, wait: _Wait) -> None:
        """Nobody waits any more; the socket stays registered."""
        wait.set_over()
        self._waits_no_more(wait)

    def _waits_no_more(self, wait: _Wait) -> None:
        if self._waits.get(wait.fd) is wait:
            self._waits[wait.fd] = None

    def _take_out(self, fd: int) -> None:
        """Unregister a socket that is readable while no task waits for it."""
        if fd in self._waits:
            del self._waits[fd]
            with contextlib.suppress(OSError):  # closed without `closing`
                self._epoll.unregister(fd)
