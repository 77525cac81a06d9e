"""Finding a replica for one session, again and again if need be: read what it wants, get a slot, dial.

This is the `relay.Provider` of real sessions. It holds at most one slot at a time and gives it back exactly once.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import trio

from trio_router.admission import Visit
from trio_router.core.config import StreamConfig
from trio_router.core.dialects import Dialect
from trio_router.core.errors import DialError
from trio_router.core.frames import read_message
from trio_router.core.framing import TEXT
from trio_router.core.head import Headers, RequestHead
from trio_router.core.outcome import Cause, End, Phase, Side, Try
from trio_router.core.registry import Slot
from trio_router.core.replica import Replica
from trio_router.core.upgrade import Upgrade
from trio_router.health import log_ejection, log_flip
from trio_router.leg import Leg
from trio_router.relay import Relay
from trio_router.services import Services
from trio_router.upstream import Dialled

#: Ends behind which the replica may still be there, and busy with the session.
LEFT_BUSY: Final = frozenset({Cause.SILENT, Cause.DEAD, Cause.SLOW, Cause.PROTOCOL_ERROR, Cause.TOO_BIG})
#: Ends of a session that are the replica's failure, and count against its health.
FAILURES: Final = LEFT_BUSY | {Cause.VANISHED}


class Placement:
    """See the module. What a replica may be asked for (``request``, ``upgrade``) is forgotten at the commit point."""

    __slots__ = (
        "_committed",
        "_connected",
        "_dialect",
        "_failed",
        "_presets",
        "_ready",
        "_request",
        "_services",
        "_upgrade",
        "slot",
        "tries",
        "visit",
    )

    def __init__(self, services: Services, dialect: Dialect, request: RequestHead, upgrade: Upgrade) -> None:
        self.visit = Visit()
        self.tries: tuple[Try, ...] = ()
        self.slot: Slot | None = None
        self._services = services
        self._dialect = dialect
        self._request: RequestHead | None = request
        self._upgrade: Upgrade | None = upgrade
        self._presets: tuple[str, ...] = ()  # what may be asked for on this path
        self._failed: tuple[Replica, ...] = ()
        self._ready: Leg | End | None = None
        self._committed = False
        self._connected = False  # the slot's replica has a connection of this session

    @property
    def replica(self) -> Replica | None:
        """The replica whose slot is held."""
        return self.slot.replica if self.slot else None

    # Before the relay runs

    def arrive(self, address: str, stream: StreamConfig) -> None:
        """The session begins; from here on `finish` must be called."""
        assert self._request is not None
        self._presets = tuple(stream.presets)
        self._services.identities.arrive(self.visit, self._request, address=address, stream=stream)

    async def first(self, request: RequestHead) -> Dialled | End | None:
        """What is found before the client is answered, if its dialect lets a replica be asked so early.

        None: the client is accepted first. Not for a request that will be refused anyway: it shall cost no GPU.
        """
        found: Dialled | End | None = None
        if not self._services.identities.admit(self.visit):
            found = End(Side.CLIENT, Cause.CLIENT_LIMIT)
        elif not self._dialect.client_speaks_first and request.asks_correctly:
            found = await self._find(None)
        self._ready = found.leg if isinstance(found, Dialled) else found
        return found

    def promise(self, subprotocol: str | None) -> None:
        """The client was told this choice before there was a replica: the replica is offered nothing else."""
        offered = () if subprotocol is None else (subprotocol,)
        if self._upgrade is not None and self._upgrade.subprotocols != offered:
            self._upgrade = dataclasses.replace(self._upgrade, subprotocols=offered)

    def cookie(self, *, secure: bool) -> Headers:
        """The router's own cookie for the client's 101, if it is configured."""
        return self._services.identities.cookie_header(self.visit, self.replica, secure=secure)

    # relay.Provider

    async def next_leg(self, relay: Relay) -> Leg | End:
        """See `relay.Provider`."""
        if self._ready is not None:
            found, self._ready = self._ready, None
            return found
        if self._dialect.client_speaks_first and self._request is not None:
            problem = await self._hear(relay, self._request)
            if problem is not None:
                return problem
        dialled = await self._find(relay)
        assert dialled is not None
        return dialled if isinstance(dialled, End) else dialled.leg

    def attempt_failed(self, end: End) -> None:
        """See `relay.Provider`."""
        assert self.slot is not None
        self._note(self.slot.replica, end.detail or end.cause, refused=end.cause is Cause.REJECTED)
        self._release(linger=end.cause in LEFT_BUSY)

    def committed(self) -> None:
        """See `relay.Provider`."""
        self._committed = True
        self._request = self._upgrade = None
        if self.slot is not None:
            self._services.registry.session_opened(self.slot.replica)
            self._services.admission.committed(self.visit)
            self._services.identities.committed(self.visit, self.slot.replica)

    async def finish(self, end: End) -> None:
        """The session is over, however: give back what it holds. Waits for nobody, and cannot be cancelled."""
        self._services.identities.leave(self.visit)
        if isinstance(self._ready, Leg):
            await self._ready.aclose()
        if self.slot is None:
            return
        replica, by_replica = self.slot.replica, end.side is Side.REPLICA
        if by_replica and end.cause in FAILURES:
            self._blame(replica, end.detail or end.cause)
        elif by_replica and end.cause is Cause.REJECTED:
            self._services.registry.session_rejected(replica, now=trio.current_time())
        elif self._committed:
            self._services.registry.session_ended(replica)
        self._release(linger=self._connected and (not by_replica or end.cause in LEFT_BUSY))

    # Finding

    async def _hear(self, relay: Relay, request: RequestHead) -> End | None:
        """Wait for the client's first message, and read what it wants."""
        patience = self._services.config.timeouts.first_message_seconds
        await relay.hear(patience)
        message = read_message(relay.pair.up.kept or bytearray(), masked=True)
        if message is None:
            return End(Side.CLIENT, Cause.SILENT, detail=f"no message within {patience:g} s")
        # Its first message has been held whole, however large; of what follows only so much is kept for another replica.
        relay.limit_kept()
        hello = self._dialect.hello(message[1], text=message[0] == TEXT)
        self._request = None
        if hello.problem is not None:
            return End(Side.CLIENT, Cause.INVALID, detail=hello.problem)
        if self._presets and hello.preset is not None and hello.preset not in self._presets:
            return End(Side.CLIENT, Cause.PRESET, detail=f"preset {hello.preset!r} is not for this path")
        self._services.identities.identify(self.visit, request, client_id=hello.client_id, preset=hello.preset)
        return None

    async def _find(self, relay: Relay | None) -> Dialled | End | None:
        """Get a slot and a connection to its replica, trying others when that fails.

        Without a relay nobody can be told of a place in the line: None is returned where it would have to wait.
        """
        while True:
            if len(self._failed) >= self._services.config.limits.attempts:
                return self._none_left()
            found = await self._slot(relay)
            if found is None:
                return None
            if isinstance(found, End):
                return self._none_left() if self._failed and found.cause is Cause.NO_REPLICA else found
            dialled = await self._dial(found, relay)
            if dialled is not None:
                return dialled

    async def _slot(self, relay: Relay | None) -> Slot | End | None:
        admission = self._services.admission
        if relay is None:
            return admission.slot_nowait(self.visit, exclude=self._failed)
        relay.phase = Phase.WAITING
        return await admission.slot(self.visit, exclude=self._failed, tell=relay.tell_place)

    async def _dial(self, slot: Slot, relay: Relay | None) -> Dialled | End | None:
        """Connect to the slot's replica. None: it did not work, and the slot was given back."""
        assert self._upgrade is not None
        self.slot = slot
        if relay is not None:
            relay.phase = Phase.CONNECTING
        try:
            dialled = await self._services.dialler.dial(slot.replica.endpoint, self._upgrade)
        except DialError as exc:
            if exc.is_answer:
                self._release()
                return End(Side.REPLICA, Cause.HANDSHAKE_FAILED, detail=str(exc.status))
            self._note(slot.replica, str(exc), refused=exc.refused)
            self._release()
            return None
        except BaseException:
            self._release(linger=True)  # it may have been accepted in this moment
            raise
        self._connected = True
        return dialled

    def _note(self, replica: Replica, why: str, *, refused: bool) -> None:
        """An attempt failed. Told before its slot is given back, or the next one in the line would be sent there too."""
        self.tries = (*self.tries, Try(replica.label, why))
        if refused:
            self._services.registry.session_rejected(replica, now=trio.current_time())
            return
        self._failed = (*self._failed, replica)
        self._blame(replica, why)

    def _blame(self, replica: Replica, why: str) -> None:
        now, ejected_until = trio.current_time(), replica.ejected_until
        if self._services.registry.session_failed(replica, why, now=now, opened=self._committed):
            log_flip(replica, why)
        if replica.ejected_until > max(now, ejected_until):
            log_ejection(replica, why, seconds=replica.ejected_until - now)

    def _release(self, *, linger: bool = False) -> None:
        slot, self.slot, self._connected = self.slot, None, False
        if slot is not None:
            if self._committed:
                self._services.admission.session_ended(self.visit)
            self._services.registry.release(slot, now=trio.current_time(), linger=linger)

    def _none_left(self) -> End:
        return End(Side.ROUTER, Cause.UNREACHABLE, detail="; ".join(f"{t.replica}: {t.why}" for t in self.tries))
