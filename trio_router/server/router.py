"""One config wired into one nursery: `Router`, and the functions that open one from Python.

Nothing is decided here about sessions; the parts are constructed, started and ended.

```
background: poller, timers, probes           cancelled last
  listeners: the port, and ordinary HTTP     cancelled when the last session has ended
    sessions: every client session           ends by itself; a drain gives it a deadline
```
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

import trio
from quart import Blueprint
from quart_trio import QuartTrio

from trio_router._version import __version__
from trio_router.core.config import RouterConfig
from trio_router.core.config.diff import ConfigDiff
from trio_router.core.dialects import Dialect, shared_probe_path
from trio_router.core.errors import ConfigError, ReloadRefused
from trio_router.core.events import Events
from trio_router.core.replicas.balancing import PolicyFactory
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.session.outcome import Cause
from trio_router.http.access import Authorize
from trio_router.http.plain_http import PlainHttp
from trio_router.operations.admin.feed import EventFeed
from trio_router.operations.logging import get_logger, set_log_level
from trio_router.operations.pages import make_app
from trio_router.operations.status import StatusBody, status_body
from trio_router.replicas.probes import HttpGet, run_health_check_loop
from trio_router.server.admin import Admin
from trio_router.server.listener import Listener
from trio_router.server.reload import LoadConfig, Reloader
from trio_router.session.context import Services, make_services

log = get_logger("trio_router")


#: The first one drains, the second ends at once.
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
#: Reloads the configuration.
RELOADS: Final = (signal.SIGHUP,)
#: Customary for "reopen the log"; by default it kills a process.
UNSUPPORTED: Final = (signal.SIGUSR1,)
#: Not served on the stream port with ``status_on_stream_port: false``.
PRIVATE_PATHS: Final = ("/status", "/router/replicas/sessions")


class Router:
    """A router. `run` it once, or read its `status` without running it.

    ``port`` and ``status_port`` are the ports that it really listens on, once it is running. ``events`` are sinks that are
    called after the log; one that raises is logged, and the others are still called. ``policies`` and ``dialects`` are
    balancing policies and dialects by the names that the configuration uses, beside the router's own; an injected
    ``registry`` has its own policies and default capacity. ``authorize`` is asked whether a client may begin a session
    (see `http.access`). ``started_with`` are further fields of the start line: the configuration's file, say.
    ``load`` reads the configuration again (in a thread), for `reload`.

    Raises:
        ValueError: for a ``balance`` or a dialect that nobody knows.
    """

    def __init__(
        self,
        config: RouterConfig,
        *,
        registry: ReplicaRegistry | None = None,
        blueprints: Sequence[Blueprint] = (),
        http_get: HttpGet | None = None,
        events: Sequence[Events] = (),
        policies: Mapping[str, PolicyFactory] | None = None,
        dialects: Mapping[str, Dialect] | None = None,
        authorize: Authorize | None = None,
        started_with: Mapping[str, object] | None = None,
        load: LoadConfig | None = None,
    ) -> None:
        self.config = config
        self.feed = EventFeed()
        self.services: Services = make_services(
            config,
            registry,
            events=(self.feed, *events) if config.admin.enabled else events,
            policies=policies,
            dialects=dialects,
        )
        self.app: QuartTrio = make_app(self, blueprints=blueprints)
        self.port: int | None = None
        self.status_port: int | None = None
        self.draining = False
        self._reloader = Reloader(self.services, load, self._reconfigure)
        self._admin = (
            Admin(self.services, self.feed, reload=self.reload, drain=self.drain) if config.admin.enabled else None
        )
        self._http_get = http_get
        self._authorize = authorize
        self._started_with = dict(started_with or {})
        self._started_at: float | None = None
        self._serving = trio.CancelScope()

    def __repr__(self) -> str:
        state = "draining" if self.draining else "idle" if self.port is None else f"on port {self.port}"
        return f"<Router {state} sessions={len(self.services.session_table.open)} {self.registry!r}>"

    @property
    def registry(self) -> ReplicaRegistry:
        """The replicas of this router."""
        return self.services.registry

    @property
    def admin_port(self) -> int | None:
        """The port that the admin API really listens on; None if it has none."""
        return self._admin.port.port if self._admin else None

    async def reload(self, by: str = "program") -> ConfigDiff:
        """Read the configuration again, from where ``load`` reads it, and apply what changed: all of it or nothing.

        ``by``: who ordered it, for the log. No open session is touched.

        Raises:
            ConfigError: with everything that is wrong.
            ReloadRefused: there is no ``load``, or a restart is needed for the changes.
        """
        return await self._reloader.reload(by)

    def _reconfigure(self, config: RouterConfig) -> None:
        if config.log.level != self.config.log.level:
            set_log_level(config.log.level)
        self.config = config
        if self._admin is not None:
            self._admin.reconfigure(config)

    # operations.pages.View

    def status(self) -> StatusBody:
        """The body of `/status`. Contains every configured replica, also before the router runs."""
        now = _now()
        return status_body(
            self.registry,
            self.services.session_table,
            now=now,
            uptime=now - self._started_at if self._started_at is not None else 0.0,
            draining=self.draining,
            queue=self.services.admission.positions(now),
        )

    def ready(self) -> tuple[bool, str]:
        """Whether a new session has a chance: not draining, and a replica is usable, or has a free slot if none may wait."""
        if self.draining:
            return False, "draining"
        now, may_wait = _now(), self.config.queue.length > 0
        usable = any(r.usable(now) if may_wait else r.available(now) for r in self.registry.replicas)
        return usable, "" if usable else "no replica is available"

    # Running

    async def run(self, *, task_status: trio.TaskStatus[Router] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until a drain has ended. ``started`` with itself once the ports are open.

        Raises:
            StartError: (in a group) a port or a TLS file cannot be used.
        """
        self._started_at = trio.current_time()
        with self.services.poller, self._end_line():
            async with trio.open_nursery() as background:
                background.start_soon(self.services.poller.run, name="poller")
                background.start_soon(self.services.timers.run, name="timers")
                background.start_soon(self.services.admission.run, name="wait queue")
                background.start_soon(self._probe, name="probes")
                if self._admin is not None:
                    await background.start(self._admin.port.serve, name="admin API")
                async with trio.open_nursery() as listeners:
                    await self._serve(listeners, task_status)
                    listeners.cancel_scope.cancel()
                background.cancel_scope.cancel()

    async def _serve(self, listeners: trio.Nursery, task_status: trio.TaskStatus[Router]) -> None:
        async with trio.open_nursery() as sessions:
            hidden = () if self.config.status_on_stream_port else PRIVATE_PATHS
            public, private = PlainHttp(self.app, hidden=hidden), PlainHttp(self.app)
            listener = Listener(
                self.services, public, sessions, draining=lambda: self.draining, authorize=self._authorize
            )
            self.port = await listeners.start(listener.serve)
            if self.config.status_port is not None:
                host = self.config.status_host or self.config.host
                self.status_port = await listeners.start(listener.serve_http, private, host, self.config.status_port)
            self._start_line()
            task_status.started(self)
            with self._serving:
                await trio.sleep_forever()
            listener.close_idle()
            rule = self.config.shutdown
            longest = rule.drain_seconds + rule.spread_seconds + self.config.timeouts.close_seconds
            sessions.cancel_scope.deadline = trio.current_time() + longest + 1
            listeners.start_soon(self._close_spread, name="closes of the drain")

    def _start_line(self) -> None:
        config = self.config
        log.info(
            "router is listening",
            host=config.host,
            port=self.port,
            status_port=self.status_port,
            tls=config.tls.certificate is not None,
            version=__version__,
            dialect=config.dialect,
            replicas=[replica.label for replica in config.replicas],
            **self._started_with,
        )

    @contextlib.contextmanager
    def _end_line(self) -> Iterator[None]:
        """Log one line at the end, however it ends, if the router was listening."""
        try:
            yield
        finally:
            if self.port is not None and self._started_at is not None:
                seconds = round(trio.current_time() - self._started_at, 1)
                log.info("router has ended", seconds=seconds, sessions=self.services.session_table.opened_total)

    async def _probe(self) -> None:
        await run_health_check_loop(
            self.registry,
            self.config,
            http_get=self._http_get,
            events=self.services.events,
            probe_path=lambda config: shared_probe_path(config, self.services.dialects.values()),
        )

    def drain(self) -> None:
        """Begin to end: not ready any more, no new sessions; open ones get ``drain_seconds``, then a close 1012.

        Returns at once; `run` returns when the last session has ended.
        """
        if not self.draining:
            self.draining = True
            log.info("router is draining", open_sessions=len(self.services.session_table.open))
            self._serving.cancel()

    async def _close_spread(self) -> None:
        """Close the remaining sessions after ``drain_seconds``, each at a random moment of ``spread_seconds``."""
        await trio.sleep(self.config.shutdown.drain_seconds)
        start = trio.current_time()
        left = list(self.services.session_table)
        moments = sorted(random.uniform(0, self.config.shutdown.spread_seconds) for _ in left)
        for moment, session in zip(moments, random.sample(left, len(left)), strict=True):
            await trio.sleep_until(start + moment)
            session.stop(Cause.DRAINED)


def _now() -> float:
    """Trio's clock; 0 outside of Trio, where nothing has been measured yet."""
    try:
        return trio.current_time()
    except RuntimeError:
        return 0.0


def build_router_app(
    config: RouterConfig,
    *,
    registry: ReplicaRegistry | None = None,
    blueprints: Sequence[Blueprint] = (),
    events: Sequence[Events] = (),
    policies: Mapping[str, PolicyFactory] | None = None,
    dialects: Mapping[str, Dialect] | None = None,
    authorize: Authorize | None = None,
) -> QuartTrio:
    """The operators' pages as an app, over an injected registry if there is one. Works without being served."""
    return Router(
        config,
        registry=registry,
        blueprints=blueprints,
        events=events,
        policies=policies,
        dialects=dialects,
        authorize=authorize,
    ).app


async def serve_router(
    config: RouterConfig,
    *,
    registry: ReplicaRegistry | None = None,
    blueprints: Sequence[Blueprint] = (),
    http_get: HttpGet | None = None,
    events: Sequence[Events] = (),
    policies: Mapping[str, PolicyFactory] | None = None,
    dialects: Mapping[str, Dialect] | None = None,
    authorize: Authorize | None = None,
    task_status: trio.TaskStatus[Router] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a router until cancelled: ``router = await nursery.start(serve_router, config)``."""
    router = Router(
        config,
        registry=registry,
        blueprints=blueprints,
        http_get=http_get,
        events=events,
        policies=policies,
        dialects=dialects,
        authorize=authorize,
    )
    await router.run(task_status=task_status)


@contextlib.asynccontextmanager
async def open_router(
    config: RouterConfig,
    *,
    registry: ReplicaRegistry | None = None,
    blueprints: Sequence[Blueprint] = (),
    http_get: HttpGet | None = None,
    events: Sequence[Events] = (),
    policies: Mapping[str, PolicyFactory] | None = None,
    dialects: Mapping[str, Dialect] | None = None,
    authorize: Authorize | None = None,
) -> AsyncIterator[Router]:
    """A router that runs inside the block: ``async with open_router(config) as router``. Leaving it leaves nothing behind."""
    router = Router(
        config,
        registry=registry,
        blueprints=blueprints,
        http_get=http_get,
        events=events,
        policies=policies,
        dialects=dialects,
        authorize=authorize,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(router.run)
        yield router
        nursery.cancel_scope.cancel()


def run_router(config: RouterConfig) -> None:
    """Run a router in a Trio of its own, until SIGINT or SIGTERM has drained it. A second signal ends it at once."""
    trio.run(serve_until_signal, Router(config))


async def serve_until_signal(router: Router) -> None:
    """Run ``router``; the first SIGINT or SIGTERM drains it, the second cancels it.

    SIGHUP reloads the configuration; SIGUSR1, which would kill the process, only leaves a line in the log.
    """
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(*STOPS, *RELOADS, *UNSUPPORTED) as signals:

            async def watch() -> None:
                async for number in signals:
                    if number in UNSUPPORTED:
                        log_unsupported(number)
                        continue
                    if number in RELOADS:
                        nursery.start_soon(reload_by_signal, router, number)
                        continue
                    if router.draining:
                        log.warning("router is ending at once", signal=signal.Signals(number).name)
                        nursery.cancel_scope.cancel()
                    router.drain()

            nursery.start_soon(watch)
            await router.run()
            nursery.cancel_scope.cancel()


async def reload_by_signal(router: Router, number: int) -> None:
    """Reload; why it could not be done is in the log."""
    with contextlib.suppress(ConfigError, ReloadRefused):
        await router.reload(signal.Signals(number).name)


def log_unsupported(number: int) -> None:
    """Log that a signal has no effect; its default, to kill the process, would end every session."""
    log.warning("signal is not supported", signal=signal.Signals(number).name)
