"""Finding a replica for one session, again and again if need be: read what it wants, get a slot, dial.

This is the `relay.Provider` of real sessions. It holds at most one slot at a time and gives it back exactly once.
"""

from __future__ import annotations

import structlog
import trio

from .admission import Admission, Visit
from .core.dialects import Dialect
from .core.errors import DialError
from .core.frames import TEXT, read_message
from .core.outcome import Cause, End, Phase, Side, Try
from .core.registry import ReplicaRegistry, Slot
from .core.replica import Replica
from .health import log_flip
from .leg import Leg
from .relay import Relay
from .upstream import Dialled, Dialler, Upgrade

log = structlog.get_logger("trio_router.session")

#: Ends of a committed session that are the replica's failure, and count against its health.
FAILURES = frozenset({Cause.VANISHED, Cause.DEAD, Cause.SLOW, Cause.PROTOCOL_ERROR, Cause.TOO_BIG})


class Placement:
    """See the module. ``visit`` is the session in the eyes of the admission."""

    def __init__(
        self,
        *,
        registry: ReplicaRegistry,
        admission: Admission,
        dialler: Dialler,
        dialect: Dialect,
        upgrade: Upgrade,
        visit: Visit,
        attempts: int,
        first_message_seconds: float,
    ) -> None:
        self.tries: tuple[Try, ...] = ()
        self.slot: Slot | None = None
        self.visit = visit
        self._registry = registry
        self._admission = admission
        self._dialler = dialler
        self._dialect = dialect
        self._upgrade = upgrade
        self._attempts = attempts
        self._first_message_seconds = first_message_seconds
        self._failed: set[Replica] = set()
        self._ready: Leg | End | None = None
        self._asked = not dialect.client_speaks_first
        self._connected = False  # the slot's replica has a connection of this session

    @property
    def replica(self) -> Replica | None:
        """The replica whose slot is held."""
        return self.slot.replica if self.slot else None

    # relay.Provider

    async def next_leg(self, relay: Relay) -> Leg | End:
        """See `relay.Provider`."""
        if self._ready is not None:
            found, self._ready = self._ready, None
            return found
        if not self._asked:
            problem = await self._hear(relay)
            if problem is not None:
                return problem
        dialled = await self.find(relay)
        assert dialled is not None
        return dialled if isinstance(dialled, End) else dialled.leg

    def attempt_failed(self, end: End) -> None:
        """See `relay.Provider`."""
        assert self.slot is not None
        self._note(self.slot.replica, end.detail or end.cause, refused=end.cause is Cause.REJECTED)
        self._release(linger=end.cause in (Cause.SILENT, Cause.DEAD))

    def committed(self) -> None:
        """See `relay.Provider`."""
        if self.slot is not None:
            self._registry.session_opened(self.slot.replica)
            self._admission.committed(self.visit, self.slot.replica)

    # The rest of a session's life

    async def find(self, relay: Relay | None) -> Dialled | End | None:
        """Get a slot and a connection to its replica, trying others when that fails.

        Without a relay nobody can be told of a place in the line: None is returned where it would have to wait.
        """
        while True:
            if len(self._failed) >= self._attempts:
                return self._none_left()
            found = await self._slot(relay)
            if found is None:
                return None
            if isinstance(found, End):
                return self._none_left() if self._failed and found.cause is Cause.NO_REPLICA else found
            self.slot = found
            _set_phase(relay, Phase.CONNECTING)
            try:
                dialled = await self._dialler.dial(found.replica.endpoint, self._upgrade)
            except DialError as exc:
                self._release()
                if relay is None and exc.is_answer:
                    return End(Side.REPLICA, Cause.HANDSHAKE_FAILED, detail=str(exc.status))
                self._note(found.replica, str(exc), refused=exc.refused)
            except BaseException:
                self._release()
                raise
            else:
                self._connected = True
                return dialled

    async def _slot(self, relay: Relay | None) -> Slot | End | None:
        if relay is None:
            return self._admission.slot_nowait(self.visit, exclude=self._failed)
        relay.phase = Phase.WAITING
        return await self._admission.slot(self.visit, exclude=self._failed, tell=relay.tell_place)

    def keep_ready(self, found: Leg | End) -> None:
        """What was found before the relay ran: it is given out first."""
        self._ready = found

    async def finish(self, end: End | None) -> None:
        """The session is over, however: give back what it holds."""
        self._admission.leave(self.visit)
        if isinstance(self._ready, Leg):
            await self._ready.aclose()
        if self.slot is None:
            return
        by_replica = end is not None and end.side is Side.REPLICA
        if end is not None and by_replica and end.cause in FAILURES:
            self._registry.session_failed(self.slot.replica, end.detail or end.cause, now=trio.current_time())
        self._release(linger=self._connected and not by_replica)

    async def _hear(self, relay: Relay) -> End | None:
        """Wait for the client's first message, and read what it wants."""
        assert relay.first_message is not None
        with trio.move_on_after(self._first_message_seconds):
            await relay.first_message.wait()
        message = read_message(relay.up.kept or bytearray(), masked=True)
        if message is None:
            return End(Side.CLIENT, Cause.SILENT, detail=f"no message within {self._first_message_seconds:g} s")
        hello = self._dialect.hello(message[1], text=message[0] == TEXT)
        self._asked = True
        relay.first_message = None
        if hello.problem is not None:
            return End(Side.CLIENT, Cause.INVALID, detail=hello.problem)
        self._admission.identify(self.visit, client_id=hello.client_id, preset=hello.preset)
        return None

    def _note(self, replica: Replica, why: str, *, refused: bool) -> None:
        self.tries = (*self.tries, Try(replica.label, why))
        now = trio.current_time()
        if refused:
            self._registry.session_rejected(replica, now=now)
            return
        self._failed.add(replica)
        if self._registry.session_failed(replica, why, now=now):
            log_flip(replica, why)

    def _release(self, *, linger: bool = False) -> None:
        slot, self.slot, self._connected = self.slot, None, False
        if slot is not None:
            self._admission.slot_ended(self.visit)
            self._registry.release(slot, now=trio.current_time(), linger=linger)

    def _none_left(self) -> End:
        return End(Side.ROUTER, Cause.UNREACHABLE, detail="; ".join(f"{t.replica}: {t.why}" for t in self.tries))


def _set_phase(relay: Relay | None, phase: Phase) -> None:
    if relay is not None:
        relay.phase = phase
