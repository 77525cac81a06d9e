"""``trio-router docs``: the pages that ship with the package, in the terminal."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Final

import click

#: The pages; the same files are built into a site by mkdocs.
FOLDER: Final = Path(__file__).parent.parent / "docs"


def page_names() -> list[str]:
    """The name of every page, as `trio-router docs` takes it: its path without the ending."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.md"))


def title_of(name: str) -> str:
    """The page's first heading."""
    first = (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def find_page(given: str) -> str:
    """The full name for ``given``, which may leave the folder and the ending out.

    Raises:
        click.UsageError: there is no such page; names the nearest one.
    """
    wanted, names = given.removesuffix(".md"), page_names()
    for name in names:
        if wanted in (name, name.rpartition("/")[2]):
            return name
    near = difflib.get_close_matches(wanted, [*names, *(name.rpartition("/")[2] for name in names)], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "`trio-router docs` lists them"
    raise click.UsageError(f"there is no page {given!r}; {hint}")


def print_pages() -> None:
    """A line for each page."""
    names = page_names()
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name:<{width}}  {title_of(name)}")


def print_page(given: str) -> None:
    """One page: rendered on a terminal that has rich, as it stands elsewhere."""
    text = (FOLDER / f"{find_page(given)}.md").read_text(encoding="utf-8")
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.markdown import Markdown
        except ImportError:  # rich comes with the extra `demo`
            pass
        else:
            Console().print(Markdown(text))
            return
    click.echo(text, nl=False)
