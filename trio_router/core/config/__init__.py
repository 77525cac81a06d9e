"""What a router is told: frozen models (`models`), their blocks (`blocks`), and the file that spells them (`file`)."""

from __future__ import annotations

from .blocks import (
    AffinityConfig,
    EjectionConfig,
    LimitsConfig,
    LineConfig,
    LogConfig,
    ShutdownConfig,
    StreamConfig,
    TimeoutsConfig,
    TlsConfig,
)
from .file import parse_config
from .models import ReplicaEndpoint, RouterConfig

__all__ = [
    "AffinityConfig",
    "EjectionConfig",
    "LimitsConfig",
    "LineConfig",
    "LogConfig",
    "ReplicaEndpoint",
    "RouterConfig",
    "ShutdownConfig",
    "StreamConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "parse_config",
]
