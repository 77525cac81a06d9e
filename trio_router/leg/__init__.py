"""A leg: one side of a session, as bytes behind its handshake.

`SocketLeg` is plain TCP, read and written by system calls without a task switch; `StreamLeg` is any Trio stream (TLS,
a test's memory stream). Both do the same things under the same names (`base.Leg`), so the pumps know no difference.
"""

from __future__ import annotations

import trio

from trio_router.core.outcome import Side
from trio_router.leg.base import Leg, Reader, Signal
from trio_router.leg.kernel import bare_socket, bound_unsent
from trio_router.leg.raw import RawStream
from trio_router.leg.stream import StreamLeg
from trio_router.leg.tcp import SocketLeg
from trio_router.poller import Poller

__all__ = ["Leg", "RawStream", "Reader", "Signal", "SocketLeg", "StreamLeg", "bare_socket", "bound_unsent", "make_leg"]


def make_leg(stream: trio.abc.Stream, side: Side, poller: Poller, early: bytes) -> Leg:
    """The leg for a connection whose handshake is done."""
    if isinstance(stream, RawStream):
        return SocketLeg(stream.socket, side, poller, early=early)
    return StreamLeg(stream, side, early=early)
