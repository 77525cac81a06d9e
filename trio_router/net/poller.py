"""Waits for thousands of sockets with one task.

`Poller.drive` means exactly

    while (result := step()) is None:
        await trio.lowlevel.wait_readable(fd)

and costs less. Trio registers a socket anew for each wait (its epoll is one-shot) and switches to the waiting task for
each message: two system calls and about 5 us of Python a message. Here a socket is registered once, in an epoll of our
own that Trio waits for as a whole, and ``step`` is called straight from the one task that runs `Poller.run`. The task
that waits in `drive` sleeps until ``step`` has something to tell it: an end, a full sink, an error. It stays the owner:
cancelling it ends the wait, and what ``step`` raises is raised there.

A socket stays registered when nobody waits for it any more: soon somebody will. Only if it becomes readable meanwhile it
is taken out. So whoever closes a socket that was ever waited for must say so (`Poller.closing`).
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

#: Sockets served before Trio's other tasks get a turn, at most, and for how long. A read and a write of 1 MiB take some
#: 0.4 ms; who is not served in one turn is first in the next.
EVENTS_PER_TURN: Final = 256
SECONDS_PER_TURN: Final = 0.004
#: How soon after a turn that broke the next one is tried: at once would be all that this process does.
BROKEN_SECONDS: Final = 0.05
#: Tasks woken in one turn, at most. What a task then does is not in this module's hands: a session that ends costs
#: some 250 us, so 8,000 that ended at once kept all others waiting for two seconds. Ends are told apart (`drive`),
#: because everything else should not wait behind them.
TASKS_PER_TURN: Final = 64
ENDS_PER_TURN: Final = 8
_HUNG_UP: Final = select.EPOLLRDHUP  # EPOLLHUP and EPOLLERR are always told
_READABLE: Final = select.EPOLLIN | _HUNG_UP


class _Wait:
    """One `Poller.drive` under way."""

    __slots__ = ("end", "fd", "late", "over", "poller", "step", "task", "woken")

    def __init__(self, poller: Poller, fd: int, step: Callable[[], Any], end: object) -> None:
        self.poller = poller
        self.fd = fd
        self.step = step
        self.end = end
        self.task = trio.lowlevel.current_task()
        self.woken: object = None  # while its own step was under way
        self.late = False  # its step is through with it, and the task is told in a later turn
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
    """Level-triggered, so one read per turn is enough: a socket that has more is served again, after the others."""

    __slots__ = ("_ends", "_epoll", "_late", "_ready", "_serving", "_waits", "broken_turns", "now")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: list[tuple[int, int]] = []  # events of the last turn that it had no time for; the next one is last
        self._waits: dict[int, _Wait | None] = {}  # by registered socket; None: nobody waits for it
        self._serving: _Wait | None = None  # whose step is under way
        self.broken_turns = 0
        self._late: deque[tuple[_Wait, outcome.Outcome[Any]]] = deque()  # tasks to be woken, first come first served
        self._ends: deque[tuple[_Wait, outcome.Outcome[Any]]] = deque()  # and those that will only clear up
        self.now = 0.0  # Trio's clock at the start of the turn: good enough for deadlines of seconds, and free

    def __repr__(self) -> str:
        return f"<Poller waiting={self.waiting}>"

    @property
    def waiting(self) -> int:
        """How many sockets are being waited for."""
        return sum(wait is not None for wait in self._waits.values())

    def __enter__(self) -> Poller:
        return self

    def __exit__(self, *_: object) -> None:
        # Not in `run`: when all is cancelled at once, `run` may end before the last `drive` takes its socket out.
        self._epoll.close()

    async def run(self) -> None:
        """Serve `drive` until cancelled. What a step raises is its waiter's; a turn that breaks all the same is tried again."""
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

        Of those whose step returned ``end`` (or raised) only a few are told in a turn, because thousands may end at once.

        To be awaited at once. Not a coroutine of its own: thousands of idle sessions wait in here.
        """
        waits = self._waits
        if fd not in waits:
            self._epoll.register(fd, _READABLE)
        elif waits[fd] is not None:
            raise trio.BusyResourceError("another task waits for this socket")
        wait = waits[fd] = _Wait(self, fd, step, end)
        return trio.lowlevel.wait_task_rescheduled(wait.abort)  # noqa: ASYNC105  the caller awaits it

    async def wait_hangup(self, fd: int, result: T) -> T:
        """Wait until the peer has sent an end of stream or a reset, however much lies unread; return ``result``.

        Or return what `wake` or `closing` says. Nothing is read. Nobody can be in `drive` meanwhile, nor come in.
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
        """Make the `drive` of ``fd`` return ``result`` now; nothing happens if nobody is in it."""
        wait = self._waits.get(fd)
        if wait is not None:
            self._wake(wait, result)

    def closing(self, fd: int, result: object = None) -> None:
        """``fd`` is about to be closed: make its `drive` return ``result``, and forget the socket.

        epoll forgets a closed socket without a word, and the next one may get the same number.
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
        """Wake so many tasks whose steps are through, at most."""
        for queue, most in ((self._late, tasks), (self._ends, ends)):
            while queue and most:
                most -= 1
                self._finish(*queue.popleft())

    def _finish_late(
        self, queue: deque[tuple[_Wait, outcome.Outcome[Any]]], wait: _Wait, result: outcome.Outcome[Any]
    ) -> None:
        """No step follows; its task is woken when it is its turn, mostly at the end of this one."""
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
        """It is readable, and nobody waits for it (any more): do not ask again."""
        if fd in self._waits:
            del self._waits[fd]
            with contextlib.suppress(OSError):  # closed, and nobody said so
                self._epoll.unregister(fd)
