"""The reference of all configuration keys, in Markdown, made from the models. The docs hold a copy; a test compares.

    python -m trio_router.cli.reference

writes it between the two marks of trio_router/docs/reference/configuration.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trio_router.core.config.admin import AdminConfig
from trio_router.core.config.file import HEALTH_CHECK
from trio_router.core.config.models import ReplicaEndpoint, RouterConfig
from trio_router.core.config.shape import SECRETS, model_in

BEGIN: Final = "<!-- configuration reference: generated, do not edit -->"
END: Final = "<!-- end of the configuration reference -->"

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"

_BLOCKS: Final = ("timeouts", "limits", "queue", "affinity", "ejection", "shutdown", "tls", "log", "admin")


def reference() -> str:
    """A Markdown table for each block: every key with its meaning, its default and its trap."""
    flat = {field: key for key, field in HEALTH_CHECK.items()}
    fields = RouterConfig.model_fields
    own = {
        name: field
        for name, field in fields.items()
        if name not in flat and name not in (*_BLOCKS, "replicas", "streams")
    }
    parts = [
        _table("`router:`", own),
        _table("`router.replicas[]:`", ReplicaEndpoint.model_fields),
        _table("`router.health_check:`", {flat[name]: field for name, field in fields.items() if name in flat}),
        _table("`router.streams[]:`", _fields("streams")),
    ]
    parts += [_table(f"`router.{name}:`", _fields(name)) for name in _BLOCKS]
    parts.append(_table("`router.admin.tokens[]:`", _fields("tokens", AdminConfig)))
    return "\n\n".join(parts)


def _fields(name: str, parent: type[BaseModel] = RouterConfig) -> dict[str, FieldInfo]:
    """The keys of a block, including those that name a file for a secret."""
    model = model_in(parent.model_fields[name].annotation)
    assert model is not None
    found: dict[str, FieldInfo] = {}
    for key, field in model.model_fields.items():
        found[key] = field
        if key in SECRETS:
            found[f"{key}_file"] = FieldInfo(default=None, description=f"A file that holds `{key}` instead.")
    return found


def _table(title: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"## {title}", "", "| key | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {_default(field)} | {_meaning(field)} |" for name, field in fields.items()]
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    meaning, _, trap = (field.description or "").partition("Trap: ")
    return f"{meaning.strip()} **Trap:** {trap}" if trap else meaning.strip()


def write_into(path: Path) -> None:
    """Replace the text between the two marks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{reference()}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    write_into(Path(sys.argv[1]) if sys.argv[1:] else PAGE)
