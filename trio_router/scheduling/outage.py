"""When nobody need wait any longer: how long sessions of one kind have had no usable replica, and who is told then."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from trio_router.core.config import QueueConfig
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica
from trio_router.core.session.outcome import Cause, End, Side
from trio_router.scheduling.scheduler import SessionEntry


@dataclass(eq=False, slots=True)
class _Watcher:
    entry: SessionEntry
    callback: Callable[[End], None]


class OutageWatch:
    """Waiting has sense until no fitting replica was usable for ``outage_seconds``; without a line, never."""

    def __init__(self, registry: ReplicaRegistry, rule: QueueConfig) -> None:
        self._registry = registry
        self._patience = 0.0
        self.reconfigure(rule)
        self._watchers: dict[_Watcher, None] = {}  # in the order in which they came

    def reconfigure(self, rule: QueueConfig) -> None:
        """Go by ``rule`` from now on."""
        self._patience = rule.outage_seconds if rule.length else 0.0

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def given_up_at(self, preset: str | None, exclude: Collection[Replica], now: float) -> float:
        """When such a session is told that no replica comes, as things are now; infinity: one is usable."""
        since = self._registry.unusable_since(now, preset=preset, exclude=exclude)
        return math.inf if since is None else since + self._patience

    def watch(self, entry: SessionEntry, callback: Callable[[End], None], now: float) -> Callable[[], None]:
        """Call ``callback`` once when ``entry`` is to be told so, which may be now. Returns a function that forgets it."""
        watcher = _Watcher(entry, callback)
        self._watchers[watcher] = None
        self._tell(watcher, self.given_up_at(entry.slot_request.preset, (), now), now)

        def forget() -> None:
            self._watchers.pop(watcher, None)

        return forget

    def tell(self, now: float) -> float:
        """Tell all who are to be told. Returns when the next one will be, as things are now."""
        presets = {watcher.entry.slot_request.preset for watcher in self._watchers}
        given_up = {preset: self.given_up_at(preset, (), now) for preset in presets}
        for watcher in list(self._watchers):
            self._tell(watcher, given_up[watcher.entry.slot_request.preset], now)
        return min((at for at in given_up.values() if at > now), default=math.inf)

    def _tell(self, watcher: _Watcher, given_up_at: float, now: float) -> None:
        if given_up_at <= now and watcher in self._watchers:  # a callback may forget others
            del self._watchers[watcher]
            watcher.callback(End(Side.ROUTER, Cause.NO_REPLICA))
