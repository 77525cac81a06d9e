"""trio_router: the router that people put in front of GPUs that stream video, as structured concurrency on Trio."""

from __future__ import annotations

from ._version import __version__
from .app import Router, build_router_app, open_router, run_router, serve_router
from .core.balancing import Policy
from .core.config import ReplicaEndpoint, RouterConfig, StreamConfig, parse_config
from .core.errors import ConfigError, RouterError
from .core.health import ReplicaHealth, ReplicaStatus
from .core.outcome import Outcome
from .core.registry import ReplicaRegistry
from .core.replica import AdminState, Replica
from .core.replica_set import ReplicaDiff
from .health import run_health_check_loop

__all__ = [
    "AdminState",
    "ConfigError",
    "Outcome",
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
    "StreamConfig",
    "__version__",
    "build_router_app",
    "open_router",
    "parse_config",
    "run_health_check_loop",
    "run_router",
    "serve_router",
]
