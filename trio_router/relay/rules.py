"""How a phase is carried out: the pure conduct of `core.session.state`, as settings of two pumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from trio_router.core.config import LimitsConfig, TimeoutsConfig
from trio_router.core.dialects import Dialect
from trio_router.core.relay.filter import FilterEvent, FrameFilter
from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Side
from trio_router.core.session.state import CONDUCT, Conduct, Hold, Inspection, Replay
from trio_router.core.websocket.budget import ByteBudget
from trio_router.core.websocket.buffer import FrameBuffer, Scratch
from trio_router.core.websocket.frames import BINARY, MAX_HEADER_BYTES
from trio_router.core.websocket.scanner import WATCH_ALL, WATCH_CONTROL, WATCH_NOTHING, FrameScanner
from trio_router.net.timers import Timers
from trio_router.relay.pair import Pair
from trio_router.relay.pump import Pump

#: So much more is read after a first message that is longer than ``replay_bytes``: enough to hear of the client's end.
MORE_BYTES: Final = 64 * 1024


class Settings(NamedTuple):
    """One conduct in numbers. ``media_watch`` is the replica's while its first binary message is still to come."""

    client_watch: frozenset[int]
    client_hold: int
    client_message: int
    replica_watch: frozenset[int]
    media_watch: frozenset[int]
    may_cut_through: bool
    replay: Replay


class RelayRules:
    """The settings of every conduct, for the sessions of one dialect: made once, because a session needs five of them."""

    def __init__(self, dialect: Dialect, limits: LimitsConfig) -> None:
        self.limits = limits
        self._settings = {conduct: _settings(conduct, dialect, limits) for conduct in {*CONDUCT.values()}}

    def apply(self, conduct: Conduct, pair: Pair, frame_filter: FrameFilter) -> None:
        """Treat frames as ``conduct`` says, from the next one on."""
        found, limits = self._settings[conduct], self.limits
        pair.to_replica.conduct(found.client_watch, found.client_hold, found.client_message, None)
        pair.to_client.conduct(
            found.media_watch if frame_filter.awaits_media else found.replica_watch,
            limits.hold_bytes,
            limits.replica_message_bytes,
            frame_filter.cut_through if found.may_cut_through else None,
        )
        replay = pair.to_replica.replay
        if found.replay is Replay.NONE:
            pair.to_replica.drop_replay()
        elif replay is not None:
            replay.set_limit(self._replay_limit(found.replay, len(replay)))

    def _replay_limit(self, replay: Replay, kept: int) -> int:
        if replay is Replay.FIRST:
            return max(self.limits.replay_bytes, self.limits.first_message_bytes)
        return max(self.limits.replay_bytes, kept + MORE_BYTES) if replay is Replay.MORE else self.limits.replay_bytes


def _settings(conduct: Conduct, dialect: Dialect, limits: LimitsConfig) -> Settings:
    first = min(limits.first_message_bytes, limits.client_message_bytes)
    hold = {
        Hold.FIRST: first + MAX_HEADER_BYTES,
        Hold.REPLAY: max(limits.hold_bytes, limits.replay_bytes) + MAX_HEADER_BYTES,
        Hold.FRAME: limits.hold_bytes,
    }
    watch = dialect.replica_watch | WATCH_NOTHING  # a dialect need not think of closes
    all_of_replica = conduct.replica is Inspection.ALL
    return Settings(
        client_watch=WATCH_ALL if conduct.client is Inspection.ALL else WATCH_CONTROL | dialect.client_watch,
        client_hold=hold[conduct.hold],
        client_message=first if conduct.hold is Hold.FIRST else limits.client_message_bytes,
        replica_watch=WATCH_ALL if all_of_replica else watch,
        media_watch=WATCH_ALL if all_of_replica else watch | {BINARY},
        may_cut_through=conduct.has_replica and not conduct.committed,
        replay=conduct.replay,
    )


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What the relays of one router share."""

    timeouts: TimeoutsConfig
    limits: LimitsConfig
    scratch: Scratch
    timers: Timers
    unplaced: ByteBudget
    _rules: dict[Dialect, RelayRules] = field(default_factory=dict, repr=False)

    def rules_for(self, dialect: Dialect) -> RelayRules:
        """The same object for all sessions of a dialect."""
        found = self._rules.get(dialect)
        if found is None:
            found = self._rules[dialect] = RelayRules(dialect, self.limits)
        return found


def frame_buffer(parts: RelayParts, side: Side) -> FrameBuffer:
    """A fresh one for what comes from ``side``; `RelayRules.apply` sets its rules."""
    limits = parts.limits
    scanner = FrameScanner(
        masked=side is Side.CLIENT,
        hold_bytes=limits.hold_bytes,
        max_message_bytes=limits.client_message_bytes if side is Side.CLIENT else limits.replica_message_bytes,
        watch=WATCH_ALL,
    )
    return FrameBuffer(scanner, parts.scratch, masked=side is Side.CLIENT)


def make_pumps(
    parts: RelayParts, frame_filter: FrameFilter, notify: Callable[[FilterEvent], None]
) -> tuple[Pump, Pump]:
    """(to the replica, to the client), joined to nothing yet."""
    slow = parts.timeouts.slow_seconds
    client, replica = frame_buffer(parts, Side.CLIENT), frame_buffer(parts, Side.REPLICA)
    return (
        Pump(
            Side.CLIENT,
            client,
            frame_filter.from_client,
            notify,
            slow_seconds=slow,
            replay=ReplayBuffer(0, parts.unplaced),
        ),
        Pump(Side.REPLICA, replica, frame_filter.from_replica, notify, slow_seconds=slow),
    )
