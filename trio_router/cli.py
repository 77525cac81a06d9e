"""The command line: ``trio-router serve | check | demo``.

Exit status: 0 done; 1 it could not run, or (``check --probe``) a replica did not answer; 2 the configuration or the
command line is wrong. A user's mistake gets one clear line for each thing that is wrong, never a traceback.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._version import __version__
from .core.errors import ConfigError, StartError

if TYPE_CHECKING:
    from .core.config import RouterConfig

# What a command needs is imported by it: all of it takes half a second, which nobody wants to wait for `--version`.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trio-router")
def main() -> None:
    """The router that people put in front of GPUs that stream video."""


@main.command()
@click.option("--config", "-c", "path", envvar="TRIO_ROUTER_CONFIG", help="YAML file with a router: block.")
def serve(path: str | None) -> None:
    """Run a router until SIGTERM or SIGINT; then let the sessions end (a second signal ends at once)."""
    from .files import open_standard_files, raise_file_limit

    open_standard_files()  # before anything else is opened
    import trio

    from .app import Router, serve_until_signal
    from .logs import configure_logs

    config = _load(path)
    configure_logs(config.log)
    router = Router(config, started_with={"config": path, "open_files": raise_file_limit()})
    _calm_the_collector()
    try:
        trio.run(serve_until_signal, router)
    except* StartError as group:
        raise click.ClickException(str(_first(group))) from None


@main.command()
@click.argument("path", required=False)
@click.option("--probe", is_flag=True, help="Also ask each replica how it is.")
def check(path: str | None, probe: bool) -> None:
    """Say what is wrong with a configuration, or print what would run."""
    from .checking import describe_config, probe_replicas
    from .tls import client_tls, replica_tls

    config = _load(path)
    click.echo(describe_config(config))
    try:
        client_tls(config)
        if any(replica.base.startswith("https") for replica in config.replicas):
            replica_tls(config)
    except StartError as exc:
        raise click.ClickException(str(exc)) from None
    if probe:
        import trio

        rows, good = trio.run(probe_replicas, config)
        click.echo(rows)
        sys.exit(0 if good else 1)


@main.command()
@click.option(
    "--port",
    default=9000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the router and the page; 0 picks a free one.",
)
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(1, 8), help="Demo replicas to start.")
@click.option("--once", is_flag=True, help="No browser: run one session of three segments, and write a video.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("trio-router-demo.mp4"),
    show_default=True,
    help="With --once: the video file.",
)
def demo(port: int, replicas: int, once: bool, out: Path) -> None:
    """Start demo replicas that need no GPU, a router in front, and a page to watch them on."""
    from .core.config import LogConfig
    from .demo.command import demo_command
    from .logs import configure_logs

    configure_logs(LogConfig(level="warning" if once else "info"))

    sys.exit(demo_command(port=port, replicas=replicas, once=once, out=out))


def _calm_the_collector() -> None:
    """Let Python's cycle collector pass over what was imported, and run a tenth as often.

    A relayed frame makes no cycles; a session makes a few when it ends. The default (every 700 objects) would walk
    through thousands of idle sessions again and again for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(7_000, 20, 20)


def _load(path: str | None) -> RouterConfig:
    from .settings import load_config

    try:
        return load_config(path)
    except ConfigError as exc:
        click.echo(f"trio-router: {exc}", err=True)
        sys.exit(2)


def _first(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


if __name__ == "__main__":
    main()
