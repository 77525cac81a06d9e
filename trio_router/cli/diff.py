"""``trio-router diff OLD NEW``: what a reload would change, without a router."""

from __future__ import annotations

import json

import click

from trio_router.cli.settings import load_config
from trio_router.core.config import RouterConfig
from trio_router.core.config.diff import diff_configs
from trio_router.core.errors import ConfigError


def run_diff(old: str, new: str, *, as_json: bool = False) -> int:
    """The whole command: print, and return the exit status. What is wrong with either file goes to standard error."""
    before, after = _load(old), _load(new)
    if before is None or after is None:
        return 2
    found = diff_configs(before, after)
    if as_json:
        click.echo(json.dumps(found.fields(), indent=2))
    else:
        for line in found.lines() or ["no difference"]:
            click.echo(line)
    if found.restart:
        click.echo(f"a restart is needed to change {', '.join(found.restart)}", err=True)
    return 1 if found.restart else 0


def _load(path: str) -> RouterConfig | None:
    try:
        return load_config(path)
    except ConfigError as exc:
        click.echo(f"trio-router: {exc}", err=True)
        return None
