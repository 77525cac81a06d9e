"""The documents of the project, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "trio_router" / "docs"


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def prose(self) -> str:
        """Without its code blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)

    def anchors(self) -> set[str]:
        """What a link may name behind its ``#``: the headings, as mkdocs and code hosts spell them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
        return {heading.strip().replace(" ", "-") for heading in plain}

    def links(self) -> list[str]:
        """Targets of all links and pictures that lead to files."""
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", self.prose) if "://" not in link]


def page(path: Path) -> Page:
    """Read one."""
    return Page(path, path.read_text(encoding="utf-8"))


def all_pages() -> list[Path]:
    """Those of the package, and those at the top."""
    return sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def blocks(found: Page, language: str) -> list[str]:
    """Its code blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", found.text, re.DOTALL | re.MULTILINE)


def name_of(path: Path) -> str:
    """For the names of tests."""
    return path.relative_to(ROOT).as_posix()
