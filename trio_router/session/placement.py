"""Finding a replica for one session, again and again if need be: a slot, a connection, and whose fault it is if not.

This is the `relay.Connector` of real sessions. It holds at most one slot at a time and gives it back exactly once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import trio

from trio_router.core.config import StreamConfig
from trio_router.core.dialects import Dialect, FirstMessage
from trio_router.core.errors import DialError
from trio_router.core.http.head import Headers, RequestHead
from trio_router.core.http.upgrade import Upgrade
from trio_router.core.replicas.health import ReplicaStatus
from trio_router.core.replicas.registry import Slot
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, End, FailedAttempt, Side
from trio_router.relay import Attempt, Progress
from trio_router.scheduling.scheduler import Visit
from trio_router.session.context import Services
from trio_router.session.tries import Failure, Tries

#: Ends after which the replica may still be there, and busy with the session.
LEFT_BUSY: Final = frozenset({Cause.SILENT, Cause.DEAD, Cause.SLOW, Cause.PROTOCOL_ERROR, Cause.TOO_BIG})
#: Ends of a session that are the replica's failure, and count against its health.
FAILURES: Final = LEFT_BUSY | {Cause.VANISHED}


class Placement:
    """What a replica may be asked for (``request``, ``upgrade``) is forgotten at the commit point."""

    __slots__ = (
        "_address",
        "_committed",
        "_connected",
        "_dialect",
        "_presets",
        "_ready",
        "_request",
        "_services",
        "_slot",
        "_tries",
        "_upgrade",
        "visit",
    )

    def __init__(
        self, services: Services, dialect: Dialect, request: RequestHead, upgrade: Upgrade, *, address: str
    ) -> None:
        self.visit = Visit()
        self._tries = Tries(services.config.limits.attempts)
        self._slot: Slot | None = None
        self._services = services
        self._dialect = dialect
        self._address = address
        self._request: RequestHead | None = request
        self._upgrade: Upgrade | None = upgrade
        self._presets: tuple[str, ...] = ()  # what may be asked for on this path
        self._ready: Attempt | End | None = None
        self._committed = False
        self._connected = False  # the slot's replica has a connection of this session

    @property
    def replica(self) -> Replica | None:
        """The replica whose slot is held."""
        return self._slot.replica if self._slot else None

    @property
    def tries(self) -> tuple[FailedAttempt, ...]:
        """Replicas that did not take the session."""
        return self._tries.log

    # Before the relay runs

    def arrive(self, stream: StreamConfig) -> None:
        """The session begins; from here on `finish` must be called."""
        assert self._request is not None
        self._presets = tuple(stream.presets)
        self._services.identities.arrive(self.visit, self._request, address=self._address, stream=stream)

    async def connect_early(self) -> Attempt | End | None:
        """What is found before the client is answered, if its dialect lets a replica be asked so early.

        None: the client is accepted first.
        """
        found: Attempt | End | None = None
        if not self._services.identities.admit(self.visit):
            found = End(Side.CLIENT, Cause.CLIENT_LIMIT)
        elif not self._dialect.client_speaks_first:
            found = await self._find(None)
        self._ready = found
        return found

    def fix_subprotocol(self, subprotocol: str | None) -> None:
        """The client was told this choice before there was a replica: the replica is offered nothing else."""
        offered = () if subprotocol is None else (subprotocol,)
        if self._upgrade is not None and self._upgrade.subprotocols != offered:
            self._upgrade = dataclasses.replace(self._upgrade, subprotocols=offered)

    def cookie(self, *, secure: bool) -> Headers:
        """The router's own cookie for the client's 101, if it is configured."""
        return self._services.identities.cookie_header(self.visit, self.replica, secure=secure)

    # relay.Connector

    def accept(self, message: FirstMessage) -> End | None:
        """See `relay.Connector`."""
        assert self._request is not None
        if self._presets and message.preset is not None and message.preset not in self._presets:
            return End(Side.CLIENT, Cause.PRESET, detail=f"preset {message.preset!r} is not for this path")
        self._services.identities.identify(
            self.visit, self._request, client_id=message.client_id, preset=message.preset
        )
        return None

    def when_hopeless(self, callback: Callable[[End], Any]) -> Callable[[], None]:
        """See `relay.Connector`."""
        return self._services.admission.when_hopeless(self.visit, callback)

    async def connect(self, progress: Progress) -> Attempt | End:
        """See `relay.Connector`."""
        if self._ready is not None:
            found, self._ready = self._ready, None
            return found
        attempt = await self._find(progress)
        assert attempt is not None
        return attempt

    def attempt_failed(self, attempt: Attempt, end: End) -> None:
        """See `relay.Connector`. Told before its slot is given back, or the next in the queue would be sent there too."""
        replica = attempt.slot.replica
        if end.cause is Cause.REJECTED:
            self._refused(replica, end.detail, end)
        else:
            self._suspect(self._tries.failed(replica, end))
        self._release(linger=end.cause in LEFT_BUSY)

    def committed(self, attempt: Attempt) -> None:
        """See `relay.Connector`."""
        self._committed = True
        self._request = self._upgrade = None
        replica = attempt.slot.replica
        self._services.registry.session_opened(replica)
        self._services.admission.committed(self.visit)
        self._services.identities.committed(self.visit, replica)
        for failure in self._tries.conclude():
            self._record_failure(failure.replica, failure.why, client=self._address, opened=False)

    def is_unhealthy(self, attempt: Attempt) -> bool:
        """See `relay.Connector`."""
        return attempt.slot.replica.health.status is ReplicaStatus.UNHEALTHY

    async def finish(self, end: End) -> None:
        """The session is over, however: give back what it holds. Waits for nobody, and cannot be cancelled."""
        self._services.identities.leave(self.visit)
        if isinstance(self._ready, Attempt):
            await self._ready.connection.aclose()
        if self._slot is None:
            return
        replica, by_replica = self._slot.replica, end.side is Side.REPLICA
        if by_replica and end.cause in FAILURES:
            self._record_failure(replica, end.detail or end.cause, client=self._address, opened=self._committed)
        elif by_replica and end.cause is Cause.REJECTED:
            self._services.registry.session_rejected(replica, now=trio.current_time())
        elif self._committed:
            self._services.registry.session_ended(replica)
        self._release(linger=self._connected and (not by_replica or end.cause in LEFT_BUSY))

    # Finding

    async def _find(self, progress: Progress | None) -> Attempt | End | None:
        """Get a slot and a connection to its replica, trying others when that fails.

        Without ``progress`` nobody can be told of a position: None is returned where the session would have to wait.
        """
        while True:
            if self._tries.message_fault or self._tries.exhausted:
                return self._none_left(None)
            slot = await self._acquire(progress)
            if slot is None:
                return None
            if isinstance(slot, End):
                nobody = slot.cause in (Cause.NO_REPLICA, Cause.REJECTED)
                return self._none_left(slot.retry_after) if self.tries and nobody else slot
            found = await self._dial(slot, progress)
            if found is not None:
                return found

    async def _acquire(self, progress: Progress | None) -> Slot | End | None:
        """A slot on a replica that is left; on one that failed at the message only if no other is."""
        if progress is not None:
            progress.seeking()
        found = await self._acquire_without(self._tries.excluded(last_resort=False), progress)
        if not isinstance(found, End) or not self._tries.has_last_resort:
            return found
        if found.cause not in (Cause.NO_REPLICA, Cause.REJECTED):
            return found
        return await self._acquire_without(self._tries.excluded(last_resort=True), progress)

    async def _acquire_without(self, exclude: tuple[Replica, ...], progress: Progress | None) -> Slot | End | None:
        admission = self._services.admission
        if progress is None:
            return admission.slot_nowait(self.visit, exclude=exclude)
        return await admission.slot(self.visit, exclude=exclude, tell=progress.position)

    async def _dial(self, slot: Slot, progress: Progress | None) -> Attempt | End | None:
        """Connect to the slot's replica. None: it did not work, and the slot was given back."""
        assert self._upgrade is not None
        self._slot = slot
        if progress is not None:
            progress.dialling()
        registry, replica = self._services.registry, slot.replica
        try:
            connected = await self._services.connector.connect(replica.endpoint, self._upgrade)
        except DialError as exc:
            end = self._dial_failed(replica, exc)
            self._release()
            return end
        except BaseException:
            self._release(linger=True)  # it may have been accepted in this moment
            raise
        now = trio.current_time()
        self._connected = True
        self._tries.told(replica)
        registry.slot_connected(slot, now=now)
        self._tell_refusing(registry.request_accepted(replica, now=now))
        return Attempt(slot, connected.connection, connected.subprotocol, connected.headers)

    def _dial_failed(self, replica: Replica, error: DialError) -> End | None:
        """An End: there is no sense in asking others."""
        registry, now = self._services.registry, trio.current_time()
        if error.own:
            return End(Side.ROUTER, Cause.UNREACHABLE, detail=str(error), retry_after=1.0)
        refused = error.refused or error.status in self._dialect.refusing_statuses
        if error.status is not None and not refused and error.is_answer:
            self._tell_refusing(registry.request_refused(replica, error.status, now=now, client=self._address))
            return End(Side.REPLICA, Cause.HANDSHAKE_FAILED, detail=str(error), status=error.status)
        if refused:
            self._refused(replica, str(error), None)
            return None
        failure = self._tries.dial_failed(replica, error)
        if error.timed_out:
            registry.suspect_dial(replica, failure.why, now=now, client=self._address)
        else:
            self._suspect(failure)
        return None

    def _none_left(self, retry_after: float | None) -> End:
        return self._tries.none_left(pass_refusals=self._dialect.passes_refusals, retry_after=retry_after)

    # What the registry hears of it

    def _refused(self, replica: Replica, why: str, end: End | None) -> None:
        self._tries.refused(replica, why, end.close if end is not None else None)
        self._services.registry.session_rejected(replica, now=trio.current_time())

    def _suspect(self, failure: Failure) -> None:
        """It is the replica's own failure; or it may be the message's: then others are preferred until that is clear."""
        if failure.kind is None:
            client = self._address if failure.connected else None
            self._record_failure(failure.replica, failure.why, client=client, opened=False)
        else:
            self._services.registry.suspect(failure.replica, failure.why, now=trio.current_time())

    def _tell_refusing(self, changed: tuple[Replica, ...]) -> None:
        for replica in changed:
            self._services.events.replica_refusing(replica)

    def _record_failure(self, replica: Replica, why: str, *, client: str | None, opened: bool) -> None:
        registry, events = self._services.registry, self._services.events
        now, ejected_until = trio.current_time(), replica.ejected_until
        if registry.session_failed(replica, why, now=now, opened=opened, client=client):
            events.replica_changed(replica, why)
        if replica.ejected_until > max(now, ejected_until):
            events.replica_ejected(replica, why, seconds=replica.ejected_until - now)

    def _release(self, *, linger: bool = False) -> None:
        slot, self._slot, self._connected = self._slot, None, False
        if slot is not None:
            if self._committed:
                self._services.admission.session_ended(self.visit)
            # A replica that neither took the session nor lost it is not busy with it.
            seconds = self._dialect.linger_seconds if self._committed or linger else 0.0
            self._services.registry.release(slot, now=trio.current_time(), linger=linger, linger_seconds=seconds)
