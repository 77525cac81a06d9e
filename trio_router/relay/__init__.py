"""The relay of one session: two connections, two pumps, and how they begin and end together."""

from __future__ import annotations

from trio_router.relay.attempt import Attempt, Connector, Progress
from trio_router.relay.relay import Relay

__all__ = ["Attempt", "Connector", "Progress", "Relay"]
