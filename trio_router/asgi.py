"""``TRIO_ROUTER_CONFIG=FILE hypercorn --worker-class trio trio_router.asgi:app``.

hypercorn serves the operators' HTTP on its own address; the stream listener runs beside it on the port of the
configuration. They start together, and when hypercorn shuts down the sessions are drained: for ``drain_seconds``, but
never longer than hypercorn's own ``shutdown_timeout`` allows.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import structlog
import trio
from quart_trio import QuartTrio

from .app import Router
from .core.config import RouterConfig
from .core.errors import ConfigError
from .logs import configure_logs
from .settings import CONFIG_VARIABLE, load_config

log = structlog.get_logger("trio_router")


def make_asgi_app(config: RouterConfig) -> QuartTrio:
    """The operators' app; its lifespan runs the router."""
    router = Router(config)
    ended = trio.Event()

    async def run(task_status: trio.TaskStatus[Router] = trio.TASK_STATUS_IGNORED) -> None:
        await router.run(task_status=task_status)
        ended.set()

    @router.app.before_serving
    async def start() -> None:
        await router.app.nursery.start(run)

    @router.app.after_serving
    async def finish() -> None:
        router.drain()
        await ended.wait()

    return router.app


def _app() -> QuartTrio:
    try:
        config = load_config()
    except ConfigError as exc:
        sys.exit(f"trio-router: {exc}")
    configure_logs(config.log)
    return make_asgi_app(config)


async def _unconfigured(scope: Any, receive: Any, send: Any) -> None:
    """Refuse to start. Not already at the import: that may have been for `make_asgi_app`."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": f"no configuration: name a file in {CONFIG_VARIABLE}"})


# hypercorn looks the name up among the module's variables, so a lazy ``__getattr__`` would not be seen.
app = _app() if os.environ.get(CONFIG_VARIABLE) else _unconfigured
