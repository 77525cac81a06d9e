"""What several dialects of one router say about the replicas that they share: a probe is no session, and has no path."""

from __future__ import annotations

from collections.abc import Collection

from trio_router.core.config import RouterConfig
from trio_router.core.dialects.base import Dialect


def shared_capacity(dialects: Collection[Dialect]) -> int | None:
    """Sessions that a replica serves at once while it has not said so: the smallest number that any of them names."""
    return min((d.default_capacity for d in dialects if d.default_capacity is not None), default=None)


def shared_probe_path(config: RouterConfig, dialects: Collection[Dialect]) -> str:
    """Where replicas are probed: ``health_check.path`` if it was set, else the first path that a dialect names."""
    if "health_check_path" in config.model_fields_set:
        return config.health_check_path
    named = (dialect.probe_path for dialect in dialects if dialect.probe_path is not None)
    return next(named, config.health_check_path)
