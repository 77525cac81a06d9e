"""What a router is configured with: frozen models (`models`), their blocks (`blocks`), and the file that spells them.

`file` reads one; for it, `nodes` knows lines and columns, `substitution` replaces ``${NAME}``, `secret_files` reads
secrets, `shape` converts between the file's form and the models', `messages` and `hints` phrase errors. `units` reads
``5s`` and ``16MiB``, `doubtful` warns, `schema` is for editors.
"""

from __future__ import annotations

from trio_router.core.config.admin import AdminConfig, AdminToken
from trio_router.core.config.blocks import (
    AffinityConfig,
    EjectionConfig,
    LimitsConfig,
    LogConfig,
    QueueConfig,
    ShutdownConfig,
    StreamConfig,
    TimeoutsConfig,
    TlsConfig,
)
from trio_router.core.config.file import ConfigFile, parse_config, read_config
from trio_router.core.config.models import ReplicaEndpoint, RouterConfig
from trio_router.core.config.schema import config_schema
from trio_router.core.config.shape import file_shape

__all__ = [
    "AdminConfig",
    "AdminToken",
    "AffinityConfig",
    "ConfigFile",
    "EjectionConfig",
    "LimitsConfig",
    "LogConfig",
    "QueueConfig",
    "ReplicaEndpoint",
    "RouterConfig",
    "ShutdownConfig",
    "StreamConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "config_schema",
    "file_shape",
    "parse_config",
    "read_config",
]
