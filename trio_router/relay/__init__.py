"""The relay of one session: two connections, two pumps, and how they begin and end together."""

from __future__ import annotations

from .attempt import Attempt, Connector, Progress
from .relay import Relay

__all__ = ["Attempt", "Connector", "Progress", "Relay"]
