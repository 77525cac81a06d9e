"""The admin API of one router: its pieces from `operations.admin`, put on its own address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.config.diff import ConfigDiff
from trio_router.core.events import AdminChange
from trio_router.operations.admin.access import Access
from trio_router.operations.admin.app import make_admin_app
from trio_router.operations.admin.control import Control, Orders
from trio_router.operations.admin.feed import EventFeed
from trio_router.server.admin_port import AdminPort
from trio_router.server.reload import unusable
from trio_router.session.context import Services


class Admin:
    """``feed`` must be among the router's events. `reconfigure` takes over new tokens."""

    def __init__(
        self,
        services: Services,
        feed: EventFeed,
        *,
        reload: Callable[[str], Awaitable[ConfigDiff]],
        drain: Callable[[], None],
    ) -> None:
        self._services = services
        self._drain = drain
        self._access = Access(services.config.admin)
        orders = Orders(
            config=lambda: services.registry.config,
            queue=self._queue,
            reload=reload,
            drain=self._ordered_drain,
            unusable=self._unusable,
        )
        control = Control(services.registry, services.session_table, services.events, orders)
        self.app = make_admin_app(control, self._access, feed)
        self.port = AdminPort(self.app, services.config.admin)

    def reconfigure(self, config: RouterConfig) -> None:
        """These tokens count from now on."""
        self._access.reconfigure(config.admin)

    def _queue(self, now: float) -> list[dict[str, Any]]:
        return self._services.admission.positions(now)

    def _unusable(self, endpoint: ReplicaEndpoint) -> str | None:
        return unusable(self._services.config, [endpoint])

    def _ordered_drain(self, by: str) -> None:
        self._services.events.admin_changed(AdminChange(by, "draining"))
        self._drain()
