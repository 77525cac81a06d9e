"""The reference of the configuration is made from the models, and leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from trio_router.cli.reference import BEGIN, END, reference, write_into
from trio_router.core.config import AdminToken, ReplicaEndpoint, RouterConfig, StreamConfig
from trio_router.core.config.file import HEALTH_CHECK
from trio_router.core.config.shape import SECRETS


def rows() -> dict[str, dict[str, tuple[str, str]]]:
    """table -> key -> (default, meaning)."""
    tables = {}
    for part in reference().split("## ")[1:]:
        title, *lines = part.splitlines()
        found = [re.fullmatch(r"\| `(\w+)` \| (.+?) \| (.+) \|", line) for line in lines]
        tables[title.strip("`")] = {match[1]: (match[2], match[3]) for match in found if match}
    return tables


def test_every_key_of_every_block_has_a_row_with_a_meaning() -> None:
    tables = rows()
    flat, blocks = set(HEALTH_CHECK.values()), {}
    for name, field in RouterConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            blocks[f"router.{name}:"] = set(kind.model_fields) | {
                f"{key}_file" for key in SECRETS & set(kind.model_fields)
            }
    own = set(RouterConfig.model_fields) - flat - {"replicas", "streams"}
    assert {title: set(table) for title, table in tables.items()} == {
        **blocks,
        "router:": own - {title.removeprefix("router.").rstrip(":") for title in blocks},
        "router.replicas[]:": set(ReplicaEndpoint.model_fields),
        "router.streams[]:": set(StreamConfig.model_fields),
        "router.health_check:": set(HEALTH_CHECK),
        "router.admin.tokens[]:": {*AdminToken.model_fields, "token_file"},
    }
    assert all(meaning.endswith((".", ")", "`")) for table in tables.values() for _, meaning in table.values())


def test_defaults_read_as_they_are_written_in_a_file() -> None:
    tables = rows()
    assert tables["router:"]["port"][0] == "`9000`"
    assert tables["router.replicas[]:"]["url"][0] == "required"
    assert tables["router.replicas[]:"]["presets"][0] == "`[]`"
    assert tables["router.affinity:"]["keys"][0] == "`[client_id]`"
    assert tables["router.health_check:"]["timeout_seconds"][0] == "`2`"
    assert tables["router.tls:"]["key"][0] == "none"


def test_traps_stand_out() -> None:
    meaning = rows()["router.limits:"]["hold_bytes"][1]
    assert "**Trap:** this bounds the memory" in meaning
    assert "Trap:" not in meaning.replace("**Trap:**", "")


def test_it_is_written_between_the_marks_of_a_page_again_and_again(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n", encoding="utf-8")
    for _ in range(2):
        write_into(page)
        assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\n{reference()}\n\n{END}\nbehind\n"
