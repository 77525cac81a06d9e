"""The event loop: one day of a workload through one router. Events at the same instant keep the order in which they came.

Health is probed every five seconds; only the probes that change something are played: those behind a birth, a death and
a repair, and those that are asked for while a GPU is still busy for somebody who left.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench.balance.routers import Router
from bench.balance.workload import DAY_SECONDS, Workload
from bench.balance.world import Session, machines

PROBE_SECONDS = 5.0
SOON_SECONDS = 0.25  # while a lingering GPU is waited for
LEAVES_SHARE = 0.5  # clients that close in the middle of a segment; the others stay until the replica ends it
SEGMENT_SECONDS = 8.0
Event = tuple[float, int, Callable[[], None]]


@dataclass
class Day:
    """Run it once; the counters are its result. ``waits`` are seconds from coming to being served, of all served."""

    workload: Workload
    router: Router
    timeout_seconds: float
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    timed_out: int = 0
    broken: int = 0
    returned: int = 0  # came back, and had been served before
    returned_home: int = 0  # to the same replica
    rejections: int = 0
    longest_queue: int = 0

    def __post_init__(self) -> None:
        self.machines = machines(self.workload)
        self.now = 0.0
        self._rng = random.Random(self.workload.seed + 1)
        self._events: list[Event] = []
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._sessions: dict[int, Session] = {}
        self._waiting: set[int] = set()
        self._home: dict[int, int] = {}
        self._looking_at = float("inf")
        self.router.place = self._place

    def run(self) -> Day:
        for index, born in enumerate(self.workload.born):
            self._at(born, partial(self._up, index))
        for outage in self.workload.outages:
            if outage.begins > self.workload.born[outage.replica]:
                self._at(outage.begins, partial(self._down, outage.replica))
                self._at(outage.ends, partial(self._up, outage.replica))
        for arrival in self.workload.arrivals:
            self._at(max(1.0, arrival.at), partial(self._come, arrival.user, arrival.seconds))
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._plan_look()
        for machine in self.machines:
            machine.stop(max(self.now, DAY_SECONDS))
        return self

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _plan_look(self) -> None:
        """While somebody waits, look again when time alone makes room."""
        change = self.router.next_change(self.now) if self._waiting else float("inf")
        if change < self._looking_at:
            self._looking_at = change
            self._at(change, self._look)

    def _look(self) -> None:
        self._looking_at = float("inf")
        self.router.look(self.now)

    # Replicas

    def _up(self, index: int) -> None:
        self.machines[index].start(self.now)
        for n in range(1, 3):  # one good probe is enough for a new one, two for one that was down
            self._at(self.now + PROBE_SECONDS * n, partial(self._probe, index))

    def _down(self, index: int) -> None:
        machine = self.machines[index]
        machine.stop(self.now)
        victims, machine.busy = sorted(machine.busy), set()
        for n in range(1, 4):
            self._at(self.now + PROBE_SECONDS * n, partial(self._probe, index))
        for number in victims:
            session = self._sessions.pop(number)
            self._account(session)
            self.router.failed(number, index, self.now, opened=True)
            self.broken += 1
            left = session.remaining - (self.now - session.began_at)
            # It connects again, for what it still wanted to see.
            self._at(self.now + self._rng.uniform(1, 3), partial(self._come, session.user, left))

    def _probe(self, index: int) -> None:
        self.router.probed(index, self.machines[index], self.now, self.now)

    # Sessions

    def _come(self, user: int, seconds: float) -> None:
        number = next(self._numbers)
        session = self._sessions[number] = Session(number, user, self.now, seconds)
        self._ask(session)
        if number in self._waiting:
            self._at(self.now + self.timeout_seconds, partial(self._lose_patience, number))

    def _ask(self, session: Session) -> None:
        """Until it is placed, waits, or is sent away."""
        while session.number in self._sessions:
            answer = self.router.ask(session.number, session.user, self.now)
            if answer is True:
                self._waiting.add(session.number)
                self.longest_queue = max(self.longest_queue, len(self._waiting))
                return
            if answer is False:
                self._refuse(session.number)
            elif self._try(session, answer):
                return

    def _place(self, number: int, replica: int) -> None:
        """Its turn has come; it dials behind the current event, as it does in the router."""
        self._waiting.discard(number)
        self._at(self.now, partial(self._dial, number, replica))

    def _dial(self, number: int, replica: int) -> None:
        session = self._sessions[number]
        if not self._try(session, replica):
            self._ask(session)

    def _try(self, session: Session, index: int) -> bool:
        """Whether the replica takes it."""
        machine = self.machines[index]
        if machine.accepts:
            self._serve(session, index)
            return True
        if machine.alive:
            self.rejections += 1
            self.router.rejected(session.number, index, self.now)
        else:
            self.router.failed(session.number, index, self.now, opened=False)
        if not self.router.tries_again:
            self._refuse(session.number)
        return False

    def _refuse(self, number: int) -> None:
        self.refused += 1
        del self._sessions[number]

    def _lose_patience(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.remove(number)
            self.router.gives_up(number)
            self.timed_out += 1
            del self._sessions[number]

    def _serve(self, session: Session, index: int) -> None:
        number = session.number
        self.machines[index].busy.add(number)
        self.router.opened(index)
        session.replica, session.began_at = index, self.now
        self.waits.append(self.now - session.came_at)
        home = self._home.get(session.user)
        if home is not None:
            self.returned += 1
            self.returned_home += home == index
        self._home[session.user] = index
        self._at(self.now + session.remaining, partial(self._end, number))

    def _end(self, number: int) -> None:
        session = self._sessions.pop(number, None)
        if session is None or session.replica is None:  # it died with its replica
            return
        machine, index = self.machines[session.replica], session.replica
        machine.busy.remove(number)
        self._account(session)
        lingers = self._rng.random() < LEAVES_SHARE
        if lingers:
            machine.lingering += 1
            self._at(self.now + self._rng.uniform(0, SEGMENT_SECONDS), partial(self._finish, index, machine.up_since))
        self.router.ended(number, index, self.now, linger=lingers)

    def _finish(self, index: int, started: float) -> None:
        """A GPU has finished the segment of somebody who left; the router hears of it with its next probe."""
        machine = self.machines[index]
        if machine.alive and machine.up_since == started:
            machine.lingering -= 1
            self._at(self.now + self._rng.uniform(0, SOON_SECONDS), partial(self._probe, index))

    def _account(self, session: Session) -> None:
        assert session.replica is not None
        self.machines[session.replica].busy_seconds += self.now - session.began_at
