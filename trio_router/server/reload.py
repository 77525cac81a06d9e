"""Taking over a new configuration while sessions are open: all of it or nothing, and no open session is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from pydantic import ValidationError

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.config.diff import ConfigDiff, diff_configs, merge_replicas
from trio_router.core.errors import ConfigError, ReloadRefused, RouterError, StartError
from trio_router.core.events import AdminChange
from trio_router.net.tls import replica_tls
from trio_router.operations.logging import get_logger
from trio_router.session.context import Services

log = get_logger("trio_router.server.reload")

#: Reads the configuration from where it was read at the start. Called in a thread. Raises ConfigError.
LoadConfig = Callable[[], RouterConfig]


class Reloader:
    """Reads the configuration of one router again. ``taken_over`` is called with what it goes by from then on."""

    def __init__(
        self, services: Services, load: LoadConfig | None, taken_over: Callable[[RouterConfig], object]
    ) -> None:
        self._services = services
        self._load = load
        self._taken_over = taken_over
        self._filed = services.config  # what the file said when it was last taken over
        self._one_at_a_time = trio.Lock()

    async def reload(self, by: str) -> ConfigDiff:
        """Read it, and apply what changed since it was last applied. ``by``: who ordered it, for the log.

        What operators changed by hand since then stays, where the file does not touch the same replica.

        Raises:
            ConfigError: with everything that is wrong; nothing has changed.
            ReloadRefused: with the keys that need a restart; nothing has changed.
        """
        async with self._one_at_a_time:
            try:
                if self._load is None:
                    raise ReloadRefused("the router was not started from a file")
                # Reading a long file takes a tenth of a second, which no session should wait.
                new = await trio.to_thread.run_sync(self._load)
                diff = self._apply(new)
            except RouterError as exc:
                problems = exc.problems if isinstance(exc, ConfigError) else [str(exc)]
                log.error("the configuration was not reloaded", by=by, problems=problems)
                raise
        self._services.events.admin_changed(AdminChange(by, "reloaded", details={"diff": diff.lines()}))
        return diff

    def _apply(self, new: RouterConfig) -> ConfigDiff:
        diff = diff_configs(self._filed, new)
        if diff.restart:
            keys = ", ".join(diff.restart)
            raise ReloadRefused(f"a restart is needed to change {keys}; nothing was changed", keys=diff.restart)
        services = self._services
        live = [replica.endpoint for replica in services.registry.replicas if not replica.removing]
        endpoints = merge_replicas(self._filed, new, live)
        if (why := unusable(new, endpoints)) is not None:
            raise ConfigError([why])
        try:
            services.registry.reconfigure(new, endpoints, now=trio.current_time())
        except ValidationError as exc:  # with what was added by hand it does not fit: a name that is taken, say
            raise ConfigError([str(error["msg"]).removeprefix("Value error, ") for error in exc.errors()]) from None
        except ValueError as exc:
            raise ConfigError([str(exc)]) from None
        services.reconfigure(services.registry.config)
        self._filed = new
        self._taken_over(services.config)
        return diff


def unusable(config: RouterConfig, endpoints: Sequence[ReplicaEndpoint]) -> str | None:
    """Why the files that are named for them cannot be used, if so: https replicas need a CA file that can be read."""
    if any(endpoint.base.startswith("https") for endpoint in endpoints):
        try:
            replica_tls(config)
        except StartError as exc:
            return str(exc)
    return None
