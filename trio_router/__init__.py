"""trio_router: the router that people put in front of GPUs that stream video, as structured concurrency on Trio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from trio_router._version import __version__
from trio_router.core.config import ReplicaEndpoint, RouterConfig, StreamConfig, parse_config
from trio_router.core.dialects import Conversation, Dialect, FirstMessage, Message, Opaque
from trio_router.core.dialects import ReplyVerdict as Verdict
from trio_router.core.errors import ConfigError, RouterError
from trio_router.core.events import Events, Refusal
from trio_router.core.replicas.balancing import Policy, PolicyFactory
from trio_router.core.replicas.health import ReplicaHealth, ReplicaStatus
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica
from trio_router.core.replicas.replica_set import ReplicaDiff
from trio_router.core.session.outcome import CloseInfo, Outcome
from trio_router.core.websocket.frames import BINARY, TEXT, Frame

if TYPE_CHECKING:
    from trio_router.http.access import AccessDenied, AccessRequest
    from trio_router.operations.status import StatusBody
    from trio_router.replicas.probes import run_health_check_loop
    from trio_router.server.router import Router, build_router_app, open_router, run_router, serve_router

#: Name -> module, imported when somebody asks for it: the web framework behind them takes most of a second.
_LAZY: Final = {
    "AccessDenied": "http.access",
    "AccessRequest": "http.access",
    "Router": "server.router",
    "StatusBody": "operations.status",
    "build_router_app": "server.router",
    "open_router": "server.router",
    "run_health_check_loop": "replicas.probes",
    "run_router": "server.router",
    "serve_router": "server.router",
}

__all__ = [
    "BINARY",
    "TEXT",
    "AccessDenied",
    "AccessRequest",
    "AdminState",
    "CloseInfo",
    "ConfigError",
    "Conversation",
    "Dialect",
    "Events",
    "FirstMessage",
    "Frame",
    "Message",
    "Opaque",
    "Outcome",
    "Policy",
    "PolicyFactory",
    "Refusal",
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
    "Verdict",
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
