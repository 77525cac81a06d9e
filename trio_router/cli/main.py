"""The command line: ``trio-router serve | check | demo | docs``.

Exit status: 0 done; 1 it could not run, or (``check --probe``) a replica did not answer; 2 the configuration or the
command line is wrong. A user's mistake gets one clear line for each thing that is wrong, never a traceback.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trio_router._version import __version__
from trio_router.core.errors import ConfigError, StartError

if TYPE_CHECKING:
    from trio_router.core.config import RouterConfig

# Each command imports what it needs: importing everything takes half a second, too long for `--version`.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trio-router")
def main() -> None:
    """The router that people put in front of GPUs that stream video."""


def takes_config(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take the file as argument or option; it is called with ``path``, or None to use the variable's file."""

    @click.argument("file", required=False)
    @click.option(
        "--config", "-c", "option", metavar="FILE", help="YAML file with a router: block. [env var: TRIO_ROUTER_CONFIG]"
    )
    @functools.wraps(command)
    def wrapped(file: str | None, option: str | None, **rest: Any) -> None:
        if file and option and Path(file).resolve() != Path(option).resolve():
            raise click.UsageError(f"two files are given: {file} and --config {option}")
        command(path=file or option or os.environ.get("TRIO_ROUTER_CONFIG"), **rest)

    return wrapped


@main.command()
@takes_config
def serve(path: str | None) -> None:
    """Run a router until SIGTERM or SIGINT; then let the sessions end (a second signal ends at once)."""
    from trio_router.net.descriptors import open_standard_files, raise_file_limit

    open_standard_files()  # before anything else is opened
    import trio

    from trio_router.cli.settings import load_config
    from trio_router.operations.logging import configure_logs
    from trio_router.server.router import Router, serve_until_signal

    config = _load(path)
    configure_logs(config.log)
    router = Router(
        config,
        started_with={"config": path, "open_files": raise_file_limit()},
        load=functools.partial(load_config, path),
    )
    _calm_the_collector()
    try:
        trio.run(serve_until_signal, router)
    except* StartError as group:
        raise click.ClickException(str(_first(group))) from None


@main.command()
@takes_config
@click.option("--probe", is_flag=True, help="Also ask each replica how it is.")
@click.option("--dump", is_flag=True, help="Print the whole configuration instead, defaults included, secrets hidden.")
@click.option("--schema", is_flag=True, help="Print a JSON schema of the file instead, for editors; needs no file.")
def check(path: str | None, probe: bool, dump: bool, schema: bool) -> None:
    """Say what is wrong with a configuration, or print what would run. The verdict comes last.

    Exit status: 0 it is good, perhaps with warnings; 1 a file that it names cannot be used, or (with --probe) a replica
    did not answer; 2 it is wrong.
    """
    from trio_router.cli.check import run_check

    sys.exit(run_check(path, probe=probe, dump=dump, schema=schema))


@main.command()
@click.argument("page", required=False)
def docs(page: str | None) -> None:
    """Print a page of the documentation, or the list of all pages."""
    from trio_router.cli.docs import print_page, print_pages

    if page is None:
        print_pages()
    else:
        print_page(page)


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
    from trio_router.core.config import LogConfig
    from trio_router.demo.command import demo_command
    from trio_router.operations.logging import configure_logs

    configure_logs(LogConfig(level="warning" if once else "info"))

    sys.exit(demo_command(port=port, replicas=replicas, once=once, out=out))


@main.command()
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def diff(old: str, new: str, as_json: bool) -> None:
    """Print what a reload from the file OLD to the file NEW would change. Needs no router.

    Exit status: 0 a running router can take it over; 1 a restart is needed; 2 one of the files is wrong.
    """
    from trio_router.cli.diff import run_diff

    sys.exit(run_diff(old, new, as_json=as_json))


def _calm_the_collector() -> None:
    """Let Python's cycle collector pass over what was imported, and run a tenth as often.

    A relayed frame makes no cycles; a session makes a few when it ends. The default (every 700 objects) would walk
    through thousands of idle sessions again and again for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(7_000, 20, 20)


def _load(path: str | None) -> RouterConfig:
    from trio_router.cli.settings import load_config

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
