"""The reference of all configuration keys, in Markdown, made from the models. README.md holds a copy; a test compares.

    python -m trio_router.cli.reference README.md

writes it between the README's two marks.
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

_BLOCKS: Final = ("timeouts", "limits", "queue", "affinity", "ejection", "shutdown", "tls", "log", "admin")


def reference() -> str:
    """Every key with meaning, default and trap, in one table for each block."""
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
    """The keys of a block, with those that name a file for a secret."""
    model = model_in(parent.model_fields[name].annotation)
    assert model is not None
    found: dict[str, FieldInfo] = {}
    for key, field in model.model_fields.items():
        found[key] = field
        if key in SECRETS:
            found[f"{key}_file"] = FieldInfo(default=None, description=f"A file that holds `{key}` instead.")
    return found


def _table(title: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"#### {title}", "", "| key | default | meaning |", "|---|---|---|"]
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
    """Replace what stands between the marks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{reference()}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    write_into(Path(sys.argv[1]))
