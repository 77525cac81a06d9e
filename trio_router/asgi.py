"""``TRIO_ROUTER_CONFIG=FILE hypercorn --worker-class trio trio_router.asgi:app``.

hypercorn serves the operators' HTTP on its own address; the stream listener runs beside it on the port of the
configuration. They start together, and when hypercorn shuts down the sessions are drained: for ``drain_seconds``, but
never longer than hypercorn's own ``shutdown_timeout`` allows (60 s unless its configuration file says more). A second
signal ends them at once.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import signal
import sys
from typing import Any, Final

import trio
from quart_trio import QuartTrio

from trio_router.cli.settings import CONFIG_VARIABLE, load_config
from trio_router.core.config import RouterConfig
from trio_router.core.errors import ConfigError
from trio_router.net.descriptors import raise_file_limit
from trio_router.operations.logging import configure_logs, get_logger
from trio_router.server.router import RELOADS, STOPS, UNSUPPORTED, Router, log_unsupported, reload_by_signal

log = get_logger("trio_router")

#: All of hypercorn's workers look at its shutdown event ten times a second; then it is free for the second signal.
EVENT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.1


class _Lifespan:
    """Runs a router in the lifespan of its own app. ``signals``: this process is ours, so its signals are heard."""

    def __init__(self, router: Router, *, signals: bool) -> None:
        self._router = router
        self._signals = signals
        self._running = trio.CancelScope()
        self._hearing = trio.CancelScope()
        self._ended = trio.Event()
        self._stopped_itself = False  # a signal came to this process, not to hypercorn's parent

    async def start(self) -> None:
        nursery = self._router.app.nursery
        if self._signals:
            nursery.start_soon(self._hear_signals)
        await nursery.start(self._run)

    async def finish(self) -> None:
        """Drain. It may take as long as the configuration says, whatever quart-trio allows its background tasks."""
        self._router.drain()
        if self._stopped_itself:
            _shutdown_event().clear()  # else the worker that hypercorn starts instead would end as well
        async with trio.open_nursery() as nursery:
            if self._signals:
                nursery.start_soon(self._hear_second_shutdown)
            await self._ended.wait()
            nursery.cancel_scope.cancel()
        self._hearing.cancel()

    async def _run(self, task_status: trio.TaskStatus[Router]) -> None:
        try:
            with self._running:
                await self._router.run(task_status=task_status)
        finally:
            self._ended.set()

    async def _hear_signals(self) -> None:
        """What is sent to this process itself. hypercorn's parent process hears its own, and tells by the shutdown event."""
        event = _shutdown_event()
        stops = () if event is None else STOPS  # without a parent hypercorn goes by KeyboardInterrupt
        with self._hearing, trio.open_signal_receiver(*RELOADS, *UNSUPPORTED, *stops) as signals:
            async for number in signals:
                if number in UNSUPPORTED:
                    log_unsupported(number)
                elif number in RELOADS:
                    await reload_by_signal(self._router, number)
                elif self._router.draining:
                    self._end_at_once(signal.Signals(number).name)
                else:
                    self._router.drain()
                    self._stopped_itself = True
                    event.set()  # hypercorn shall end as well

    async def _hear_second_shutdown(self) -> None:
        event = _shutdown_event()
        if event is None:
            return
        await trio.sleep(EVENT_SECONDS)
        event.clear()
        while not event.is_set():  # noqa: ASYNC110  another process sets it
            await trio.sleep(LOOK_SECONDS)
        self._end_at_once("second shutdown")

    def _end_at_once(self, why: str) -> None:
        log.warning("router is ending at once", signal=why)
        self._running.cancel()


def _shutdown_event() -> Any:
    """The event by which hypercorn's parent process tells this worker to end; None if there is no parent.

    It is an argument of the worker's process, and reaches no app by any other way (hypercorn is pinned).
    """
    return getattr(multiprocessing.current_process(), "_kwargs", {}).get("shutdown_event")


def make_asgi_app(config: RouterConfig, *, config_file: str | None = None, signals: bool = False) -> QuartTrio:
    """The operators' app; its lifespan runs the router.

    With ``signals`` it also hears the signals of this process, which must be one that serves nothing else.
    """
    router = Router(
        config,
        started_with={"config": config_file, "open_files": raise_file_limit()} if signals else None,
        load=functools.partial(load_config, config_file) if config_file else None,
    )
    # quart-trio would cancel its nursery, in which the router runs, five seconds after the shutdown began.
    router.app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"] = math.inf
    lifespan = _Lifespan(router, signals=signals)
    router.app.before_serving(lifespan.start)
    router.app.after_serving(lifespan.finish)
    return router.app


def _app() -> QuartTrio:
    try:
        config = load_config()
    except ConfigError as exc:
        sys.exit(f"trio-router: {exc}")
    configure_logs(config.log)
    return make_asgi_app(config, config_file=os.environ.get(CONFIG_VARIABLE), signals=True)


async def _unconfigured(scope: Any, receive: Any, send: Any) -> None:
    """Refuse to start. Not already at the import: that may have been for `make_asgi_app`."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": f"no configuration: name a file in {CONFIG_VARIABLE}"})


# hypercorn looks the name up among the module's variables, so a lazy ``__getattr__`` would not be seen.
app = _app() if os.environ.get(CONFIG_VARIABLE) else _unconfigured
