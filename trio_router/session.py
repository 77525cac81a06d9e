"""One client's life, from its upgrade request to its outcome. The only place that catches `Exception`.

A session's crash ends that session, is logged once with its cause, and never reaches the listener.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from .core.head import HOP_BY_HOP, Headers, RequestHead, forwarded_headers
from .core.outcome import Cause, End, Outcome, Phase, Side, Traffic, Try
from .handshake import HeadStream, answer_client
from .leg import Leg
from .placement import Placement
from .relay import Relay
from .upstream import Dialled, Upgrade, plain_leg

if TYPE_CHECKING:
    from .core.config import StreamConfig
    from .services import Services

log = structlog.get_logger("trio_router.session")

_NUMBERS = itertools.count(1)
_RUN = os.urandom(4).hex()  # so that ids of two runs differ


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upgrade request that has been read and not answered; owns the connection. ``client`` is its IP address."""

    stream: trio.abc.Stream
    head: HeadStream
    request: RequestHead
    client: str
    scheme: str


class Session:
    """See the module. `run` it once; what it holds is given back whatever happens."""

    def __init__(self, services: Services, arrival: Arrival, stream: StreamConfig) -> None:
        self.id = f"{_RUN}-{next(_NUMBERS)}"
        self.client = arrival.client
        self.opened_at = trio.current_time()
        self._services = services
        self._arrival: Arrival | None = arrival
        self._dialect = services.dialects[stream.path]
        request = arrival.request
        self._offered = tuple(
            name.strip().decode("latin-1")
            for key, value in request.headers
            if key == b"sec-websocket-protocol"
            for name in value.split(b",")
        )
        self._placement = Placement(
            registry=services.registry,
            admission=services.admission,
            dialler=services.dialler,
            dialect=self._dialect,
            upgrade=self._upgrade(arrival),
            visit=services.admission.arrive(request, address=arrival.client, stream=stream),
            attempts=services.config.limits.attempts,
            first_message_seconds=services.config.timeouts.first_message_seconds,
        )
        self._relay: Relay | None = None
        self._phase = Phase.HANDSHAKE

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.phase} replica={self.replica}>"

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return self._relay.phase if self._relay else self._phase

    @property
    def replica(self) -> str | None:
        """The label of the replica that has it."""
        return self._placement.replica.label if self._placement.replica else None

    @property
    def tries(self) -> tuple[Try, ...]:
        """Replicas that did not take it."""
        return self._placement.tries

    @property
    def key(self) -> str | None:
        """Its affinity key."""
        return self._placement.visit.wish.key

    def traffic(self) -> tuple[Traffic, Traffic]:
        """(upstream, downstream) so far."""
        return self._relay.traffic() if self._relay else (Traffic(), Traffic())

    def stop(self, cause: Cause) -> None:
        """End it in the router's name, with the words that belong to the cause. Returns at once."""
        if self._relay is not None:
            self._relay.stop(End(Side.ROUTER, cause))

    # Its life

    async def run(self) -> None:
        """Live. Returns when all is closed and given back; raises only `trio.Cancelled`."""
        self._services.book.add(self)
        end: End | None = None
        replica = None
        try:
            end = await self._live()
        except Exception as exc:
            end = End(Side.ROUTER, Cause.CRASHED, detail=repr(exc))
            log.exception("session crashed", session=self.id)
        finally:
            replica = self.replica
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                await self._placement.finish(end)
                if self._arrival is not None:
                    await trio.aclose_forcefully(self._arrival.stream)
            self._close(end or End(Side.ROUTER, Cause.CANCELLED), replica)

    async def _live(self) -> End:
        """Shake hands with the client (and before that with a replica, where the dialect allows it); then relay."""
        arrival = self._arrival
        assert arrival is not None
        first: Dialled | End | None = None
        if self._services.admission.over_limit(self._placement.visit):
            first = End(Side.CLIENT, Cause.CLIENT_LIMIT)
        elif not self._dialect.client_speaks_first:
            first = await self._placement.find(None)
        try:
            accepted = await self._accept(arrival, first)
        except trio.BrokenResourceError:
            accepted = False
        if first is not None:
            self._placement.keep_ready(first.leg if isinstance(first, Dialled) else first)
        if not accepted:
            return first if isinstance(first, End) else End(Side.CLIENT, Cause.HANDSHAKE_FAILED)
        leg = plain_leg(arrival.stream, Side.CLIENT, self._services.poller, arrival.head.early)
        self._arrival = None
        return await self._relay_with(leg)

    async def _accept(self, arrival: Arrival, first: Dialled | End | None) -> bool:
        """Answer the client's upgrade request, within the handshake timeout."""
        status, chosen, extra = None, None, Headers()
        if isinstance(first, Dialled):
            chosen, extra = first.subprotocol, _end_to_end(first.headers)
        elif isinstance(first, End):
            status = int(first.detail) if first.cause is Cause.HANDSHAKE_FAILED else None
            chosen = self._offered[0] if self._offered else None
        elif self._offered:
            chosen = self._offered[0]
        visit = self._placement.visit
        secure = arrival.scheme == "https"
        extra += self._services.admission.cookie_header(visit, self._placement.replica, secure=secure)
        with trio.move_on_after(self._services.config.timeouts.handshake_seconds):
            return await answer_client(arrival.head, subprotocol=chosen, reject=status, headers=extra)
        return False

    async def _relay_with(self, leg: Leg) -> End:
        config = self._services.config
        self._relay = relay = Relay(
            leg,
            self._dialect,
            timeouts=config.timeouts,
            limits=config.limits,
            scratch=self._services.scratch,
            keeper=self._services.keeper,
        )
        log.info("session opened", session=self.id, client=self.client, replica=self.replica)
        return await relay.run(self._placement)

    def _upgrade(self, arrival: Arrival) -> Upgrade:
        request = arrival.request
        headers = forwarded_headers(
            request.headers,
            client=arrival.client,
            scheme=arrival.scheme,
            host=request.get(b"host"),
            request_id=(request.get(b"x-request-id") or self.id.encode()).decode("latin-1"),
        )
        offered = self._offered[:1] if self._dialect.client_speaks_first else self._offered
        return Upgrade(request.target.decode("latin-1"), offered, tuple(headers))

    def _close(self, end: End, replica: str | None) -> None:
        relay, (up, down) = self._relay, self.traffic()
        outcome = Outcome(
            side=end.side,
            phase=relay.ended_in if relay else self._phase,
            cause=end.cause,
            detail=end.detail,
            client_sent=relay.client.close_sent if relay else None,
            client_got=relay.client.close_got if relay else None,
            replica_sent=relay.replica.close_sent if relay and relay.replica else None,
            replica_got=relay.replica.close_got if relay and relay.replica else None,
            up=up,
            down=down,
            seconds=trio.current_time() - self.opened_at,
            replica=replica,
            tries=self.tries,
        )
        self._services.book.end(self, outcome)
        log.info("session ended", **describe(self, outcome))


def describe(session: Session, outcome: Outcome) -> dict[str, object]:
    """The log line of a session's end; what is not known is left out."""
    fields: dict[str, object] = {
        "session": session.id,
        "client": session.client,
        "replica": outcome.replica,
        "ended_by": str(outcome.side),
        "phase": str(outcome.phase),
        "cause": str(outcome.cause),
        "detail": outcome.detail or None,
        "close_from_client": outcome.client_got and str(outcome.client_got),
        "close_to_client": outcome.client_sent and str(outcome.client_sent),
        "close_from_replica": outcome.replica_got and str(outcome.replica_got),
        "close_to_replica": outcome.replica_sent and str(outcome.replica_sent),
        "seconds": round(outcome.seconds, 3),
        "bytes_up": outcome.up.bytes,
        "bytes_down": outcome.down.bytes,
        "messages_up": outcome.up.messages,
        "messages_down": outcome.down.messages,
        "tries": [f"{t.replica}: {t.why}" for t in outcome.tries] or None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _end_to_end(headers: Headers) -> Headers:
    """What of a replica's 101 goes to the client: cookies, say; never what describes one connection."""
    return [(k, v) for k, v in headers if k not in HOP_BY_HOP and not k.startswith(b"sec-websocket-")]
