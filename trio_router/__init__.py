"""trio_router: the router that people put in front of GPUs that stream video, as structured concurrency on Trio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ._version import __version__
from .core.balancing import Policy
from .core.config import ReplicaEndpoint, RouterConfig, StreamConfig, parse_config
from .core.errors import ConfigError, RouterError
from .core.events import Events, Refusal
from .core.health import ReplicaHealth, ReplicaStatus
from .core.outcome import Outcome
from .core.registry import ReplicaRegistry
from .core.replica import AdminState, Replica
from .core.replica_set import ReplicaDiff

if TYPE_CHECKING:
    from .app import Router, build_router_app, open_router, run_router, serve_router
    from .health import run_health_check_loop
    from .status import StatusBody

#: Name -> module, imported when somebody asks for it: the web framework behind them takes most of a second.
_LAZY: Final = {
    "Router": "app",
    "StatusBody": "status",
    "build_router_app": "app",
    "open_router": "app",
    "run_health_check_loop": "health",
    "run_router": "app",
    "serve_router": "app",
}

__all__ = [
    "AdminState",
    "ConfigError",
    "Events",
    "Outcome",
    "Refusal",
    "Policy",
    "Replica",
    "ReplicaDiff",
    "ReplicaEndpoint",
    "ReplicaHealth",
    "ReplicaRegistry",
    "ReplicaStatus",
    "Router",
    "RouterConfig",
    "RouterError",
    "StatusBody",
    "StreamConfig",
    "__version__",
    "build_router_app",
    "open_router",
    "parse_config",
    "run_health_check_loop",
    "run_router",
    "serve_router",
]

if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
