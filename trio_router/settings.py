"""Where a configuration comes from: a file, and a few variables of the environment that win over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .core.config import RouterConfig, parse_config
from .core.errors import ConfigError

CONFIG_VARIABLE: Final = "TRIO_ROUTER_CONFIG"
#: variable -> key of the ``router:`` block
VARIABLES: Final = {"TRIO_ROUTER_HOST": "host", "TRIO_ROUTER_PORT": "port"}
LOG_LEVEL_VARIABLE: Final = "TRIO_ROUTER_LOG_LEVEL"


def load_config(path: str | None = None, *, environ: Mapping[str, str] | None = None) -> RouterConfig:
    """Read ``path``, or the file that ``TRIO_ROUTER_CONFIG`` names; host, port and log level may come from variables.

    Raises:
        ConfigError: with every mistake at once.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError([f"no configuration: give a file, or name one in {CONFIG_VARIABLE}"])
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError([f"cannot be read: {exc.strerror}"], source=path) from None
    except UnicodeDecodeError as exc:
        raise ConfigError([f"is not UTF-8 text: {exc.reason} at byte {exc.start}"], source=path) from None
    overrides: dict[str, Any] = {key: environ[name] for name, key in VARIABLES.items() if environ.get(name)}
    try:
        config = parse_config(text, source=path, overrides=overrides)
    except ConfigError as exc:
        raise ConfigError([_where(line, overrides) for line in exc.problems], source=path) from None
    level = environ.get(LOG_LEVEL_VARIABLE)
    if not level:
        return config
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError([f"{LOG_LEVEL_VARIABLE}: must be debug, info, warning or error, not {level!r}"])
    return config.model_copy(update={"log": config.log.model_copy(update={"level": level.lower()})})


def _where(problem: str, overrides: Mapping[str, Any]) -> str:
    """Name the variable that a bad value came from."""
    for name, key in VARIABLES.items():
        if key in overrides and problem.startswith(f"router.{key}:"):
            return f"{name}{problem.removeprefix(f'router.{key}')}"
    return problem
