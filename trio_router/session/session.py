"""One client's life, from its upgrade request to its outcome. The only place that catches `Exception` for it.

A session's crash ends that session, is logged once with its cause, and never reaches the listener.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

import trio

from trio_router.core.config import StreamConfig
from trio_router.core.http.head import Headers, RequestHead, end_to_end, forwarded_headers
from trio_router.core.http.upgrade import Upgrade
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, CloseInfo, End, FailedAttempt, Outcome, Phase, Side, Traffic
from trio_router.http.handshake import HeadStream, accept_client, reject_client
from trio_router.net.connection import Connection, make_connection
from trio_router.operations.logging import get_logger
from trio_router.relay import Attempt, Relay
from trio_router.session.context import Services
from trio_router.session.placement import Placement

log = get_logger("trio_router.session")

_NUMBERS = itertools.count(1)
_RUN = os.urandom(4).hex()  # so that ids of two runs differ


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upgrade request that has been read and not answered; owns the connection.

    ``client`` is its IP address, ``port`` its TCP port (0: not known).
    """

    stream: trio.abc.Stream
    head: HeadStream
    request: RequestHead
    client: str
    scheme: str
    port: int = 0

    def request_id(self, session_id: str) -> str:
        """The one that a proxy in front of us gave it, or the session's own."""
        given = self.request.get(b"x-request-id")
        return session_id if given is None else given.decode("latin-1")

    def upgrade(self, session_id: str, subprotocols: tuple[str, ...]) -> Upgrade:
        """What a replica is asked for in this client's name."""
        request = self.request
        headers = forwarded_headers(
            request.headers,
            client=self.client,
            scheme=self.scheme,
            host=request.get(b"host"),
            request_id=request.get(b"x-request-id") or session_id.encode(),
        )
        return Upgrade(request.target, subprotocols, tuple(headers))


class Session:
    """`run` it once; what it holds is given back whatever happens."""

    __slots__ = (
        "_arrival",
        "_conversation",
        "_dialect",
        "_offered",
        "_path",
        "_placement",
        "_relay",
        "_request_id",
        "_services",
        "_stopped",
        "client",
        "id",
        "opened_at",
        "port",
    )

    def __init__(self, services: Services, arrival: Arrival, stream: StreamConfig) -> None:
        self.id = f"{_RUN}-{next(_NUMBERS)}"
        self.client = arrival.client
        self.port = arrival.port
        self.opened_at = trio.current_time()
        self._services = services
        self._arrival: Arrival | None = arrival
        self._path = stream.path
        self._request_id = arrival.request_id(self.id)
        self._dialect = services.dialects[stream.path]
        self._conversation = self._dialect.open()
        self._offered = arrival.request.subprotocols
        # Where the client speaks first, it is answered before there is a replica that could choose.
        offered = self._offered[:1] if self._dialect.client_speaks_first else self._offered
        upgrade = arrival.upgrade(self.id, offered)
        self._placement = Placement(services, self._dialect, arrival.request, upgrade, address=arrival.client)
        self._placement.arrive(stream)
        self._relay: Relay | None = None
        self._stopped: End | None = None

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.phase} replica={self.replica}>"

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return self._relay.phase if self._relay else Phase.HANDSHAKE

    @property
    def replica(self) -> str | None:
        """The label of the replica that has it."""
        return self._placement.replica.label if self._placement.replica else None

    @property
    def tries(self) -> tuple[FailedAttempt, ...]:
        """Replicas that did not take it."""
        return self._placement.tries

    @property
    def key(self) -> str | None:
        """Its affinity key."""
        return self._placement.entry.slot_request.key

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(from the client, from the replica) so far."""
        return self._relay.pair.traffic() if self._relay else (Traffic(), Traffic())

    def stop(self, cause: Cause, close: CloseInfo | None = None) -> None:
        """End it in the router's name, with the frames that belong to the cause (``close`` for `OPERATOR`). Returns at once."""
        self._stopped = End(Side.ROUTER, cause, close)
        if self._relay is not None:
            self._relay.stop(self._stopped)

    def probe_failed(self, replica: Replica) -> None:
        """A probe of this replica failed: if it is the session's, ask it for a sign of life now."""
        if self._relay is not None and self._placement.replica is replica:
            self._relay.suspect_replica()

    # Its life

    async def run(self) -> None:
        """Live. Returns when all is closed and given back; raises only `trio.Cancelled`."""
        self._services.session_table.add(self)
        end = End(Side.ROUTER, Cause.CANCELLED)
        try:
            client = await self._shake_hands()
            end = client if isinstance(client, End) else await self._relay_for(client).run(self._placement)
        except* Exception as crash:  # a cancellation that comes with it goes on
            end = End(Side.ROUTER, Cause.CRASHED, detail=_first_error(crash))
            log.exception("session crashed", session=self.id)
        finally:
            replica = self.replica
            try:
                await self._placement.finish(end)  # noqa: ASYNC102  waits for nobody
            finally:
                if self._arrival is not None:
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                        await trio.aclose_forcefully(self._arrival.stream)
                self._account(end, replica)

    async def _shake_hands(self) -> Connection | End:
        """The client's connection after its handshake; where the dialect allows it, a replica has been asked before."""
        arrival = self._arrival
        assert arrival is not None
        first = await self._placement.connect_early()
        try:
            accepted = await self._answer(arrival, first)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            accepted = False
        if not accepted:
            return first if isinstance(first, End) else End(Side.CLIENT, Cause.HANDSHAKE_FAILED)
        self._arrival = None
        return make_connection(arrival.stream, Side.CLIENT, self._services.poller, arrival.head.early)

    async def _answer(self, arrival: Arrival, first: Attempt | End | None) -> bool:
        """Answer the client's upgrade request, within the handshake timeout."""
        status, extra = None, Headers()
        chosen = self._offered[0] if self._offered else None
        if isinstance(first, Attempt):
            chosen, extra = first.subprotocol, end_to_end(first.headers)
        elif isinstance(first, End):
            status = first.status
        else:
            self._placement.fix_subprotocol(chosen)
        extra += self._placement.cookie(secure=arrival.scheme == "https")
        seconds = self._services.config.timeouts.handshake_seconds
        if status is not None:
            await reject_client(arrival.head, status, seconds=seconds, headers=extra)
            return False
        return await accept_client(arrival.head, arrival.request, subprotocol=chosen, headers=extra, seconds=seconds)

    def _relay_for(self, client: Connection) -> Relay:
        self._services.events.session_opened(self)
        self._relay = Relay(client, self._dialect, self._conversation, self._services.relay_parts)
        if self._stopped is not None:  # while it was shaking hands
            self._relay.stop(self._stopped)
        return self._relay

    def _account(self, end: End, replica: str | None) -> None:
        relay, (up, down) = self._relay, self.traffic()
        pair, timing = (relay.pair, relay.timing) if relay else (None, None)
        outcome = Outcome(
            side=end.side,
            phase=relay.state.ended_in if relay else Phase.HANDSHAKE,
            cause=end.cause,
            detail=end.detail,
            client_sent=pair.to_client.close_sent if pair else None,
            client_got=pair.to_replica.close_received if pair else None,
            replica_sent=pair.to_replica.close_sent if pair else None,
            replica_got=pair.to_client.close_received if pair else None,
            up=up,
            down=down,
            seconds=trio.current_time() - self.opened_at,
            replica=replica,
            tries=self.tries,
            path=self._path,
            preset=self._placement.entry.slot_request.preset,
            request_id=self._request_id,
            queue_seconds=timing.queue_seconds if timing else None,
            dial_seconds=timing.dial_seconds if timing else None,
            first_frame_seconds=timing.first_frame_seconds if timing else None,
            first_media_seconds=timing.first_media_seconds if timing else None,
        )
        self._services.session_table.end(self, outcome)
        self._services.events.session_ended(self, outcome)


def _first_error(crash: BaseExceptionGroup[BaseException]) -> str:
    """The first of the errors, without the groups around it."""
    error: BaseException = crash
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)
