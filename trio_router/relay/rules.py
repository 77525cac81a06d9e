"""How a phase is carried out: the pure conduct of `core.session.state`, as settings of two pumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trio_router.core.config import LimitsConfig, TimeoutsConfig
from trio_router.core.dialects import Dialect
from trio_router.core.relay.filter import FilterEvent, FrameFilter
from trio_router.core.relay.replay import ReplayBuffer
from trio_router.core.session.outcome import Side
from trio_router.core.session.state import Conduct, Hold, Inspection, Replay
from trio_router.core.websocket.budget import ByteBudget
from trio_router.core.websocket.buffer import FrameBuffer, Scratch
from trio_router.core.websocket.frames import BINARY, MAX_HEADER_BYTES
from trio_router.core.websocket.scanner import WATCH_ALL, WATCH_CONTROL, WATCH_NOTHING, FrameScanner
from trio_router.net.timers import Timers
from trio_router.relay.pair import Pair
from trio_router.relay.pump import Pump

#: So much more is read after a first message that is longer than ``replay_bytes``: enough to hear of the client's end.
MORE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What the relays of one router share."""

    timeouts: TimeoutsConfig
    limits: LimitsConfig
    scratch: Scratch
    timers: Timers
    unplaced: ByteBudget


def frame_buffer(parts: RelayParts, side: Side) -> FrameBuffer:
    """A fresh one for what comes from ``side``; `apply_conduct` sets its rules."""
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


def apply_conduct(
    conduct: Conduct, pair: Pair, dialect: Dialect, frame_filter: FrameFilter, limits: LimitsConfig
) -> None:
    """Treat frames as ``conduct`` says, from the next one on."""
    first = min(limits.first_message_bytes, limits.client_message_bytes)
    hold = {
        Hold.FIRST: first + MAX_HEADER_BYTES,
        Hold.REPLAY: max(limits.hold_bytes, limits.replay_bytes) + MAX_HEADER_BYTES,
        Hold.FRAME: limits.hold_bytes,
    }[conduct.hold]
    pair.to_replica.conduct(
        watch=WATCH_ALL if conduct.client is Inspection.ALL else WATCH_CONTROL | dialect.client_watch,
        hold_bytes=hold,
        message_bytes=first if conduct.hold is Hold.FIRST else limits.client_message_bytes,
        cut_through=None,
    )
    pair.to_client.conduct(
        watch=_replica_watch(conduct, dialect, frame_filter),
        hold_bytes=limits.hold_bytes,
        message_bytes=limits.replica_message_bytes,
        cut_through=frame_filter.cut_through if conduct.has_replica and not conduct.committed else None,
    )
    if conduct.replay is Replay.NONE:
        pair.to_replica.drop_replay()
    elif pair.to_replica.replay is not None:
        _limit_replay(pair.to_replica.replay, conduct, limits)


def _replica_watch(conduct: Conduct, dialect: Dialect, frame_filter: FrameFilter) -> frozenset[int]:
    if conduct.replica is Inspection.ALL:
        return WATCH_ALL
    watch = dialect.replica_watch | WATCH_NOTHING  # a dialect need not think of closes
    return watch | {BINARY} if frame_filter.awaits_media else watch


def _limit_replay(replay: ReplayBuffer, conduct: Conduct, limits: LimitsConfig) -> None:
    if conduct.replay is Replay.FIRST:
        replay.set_limit(max(limits.replay_bytes, limits.first_message_bytes))
    elif conduct.replay is Replay.MORE:
        replay.set_limit(max(limits.replay_bytes, len(replay) + MORE_BYTES))
    else:
        replay.set_limit(limits.replay_bytes)
