"""Where a configuration comes from: a file, and a few environment variables that override it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from trio_router.core.config import ConfigFile, RouterConfig, read_config
from trio_router.core.errors import ConfigError, Problem

CONFIG_VARIABLE: Final = "TRIO_ROUTER_CONFIG"
#: Environment variable -> key of the ``router:`` block.
VARIABLES: Final = {"TRIO_ROUTER_HOST": "host", "TRIO_ROUTER_PORT": "port"}
LOG_LEVEL_VARIABLE: Final = "TRIO_ROUTER_LOG_LEVEL"


def load_config(path: str | None = None, *, environ: Mapping[str, str] | None = None) -> RouterConfig:
    """The configuration of `load_file`, without its warnings.

    Raises:
        ConfigError: with every mistake at once.
    """
    return load_file(path, environ=environ).config


def load_file(path: str | None = None, *, environ: Mapping[str, str] | None = None) -> ConfigFile:
    """Read ``path``, or the file that ``TRIO_ROUTER_CONFIG`` names; host, port and log level may come from variables.

    ``${NAME}`` in the file is replaced from ``environ`` (the process's own if it is not given), and what ``secret_file``
    names is read; a relative name is taken from the working directory, as for the files of ``tls``.

    Raises:
        ConfigError: with every mistake at once.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError([f"no configuration: give a file, or name one in {CONFIG_VARIABLE}"])
    try:
        text = _read(path)
    except OSError as exc:
        raise ConfigError([f"cannot be read: {exc.strerror}"], source=path) from None
    except UnicodeDecodeError as exc:
        raise ConfigError([f"is not UTF-8 text: {exc.reason} at byte {exc.start}"], source=path) from None
    overrides: dict[str, Any] = {key: environ[name] for name, key in VARIABLES.items() if environ.get(name)}
    try:
        found = read_config(text, source=path, overrides=overrides, environ=environ, read_file=_read)
    except ConfigError as exc:
        problems = [_where(problem, overrides) for problem in exc.found]
        raise ConfigError(problems, source=path, warnings=exc.warnings) from None
    level = environ.get(LOG_LEVEL_VARIABLE)
    if not level:
        return found
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError([f"{LOG_LEVEL_VARIABLE}: must be debug, info, warning or error, not {level!r}"])
    log = found.config.log.model_copy(update={"level": level.lower()})
    return replace(found, config=found.config.model_copy(update={"log": log}))


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _where(problem: Problem, overrides: Mapping[str, Any]) -> Problem:
    """Name the variable that a bad value came from."""
    for name, key in VARIABLES.items():
        if key in overrides and problem.text.startswith(f"router.{key}:"):
            return Problem(f"{name}{problem.text.removeprefix(f'router.{key}')}")
    return problem
