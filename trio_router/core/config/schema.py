"""A JSON schema of the file, for editors. It knows keys, types and ranges; `trio-router check` finds more."""

from __future__ import annotations

from typing import Any, Final

from trio_router.core.config.models import RouterConfig
from trio_router.core.config.shape import BLOCKS, HEALTH_CHECK, SECRETS
from trio_router.core.config.units import BYTES_PATTERN, SECONDS_PATTERN

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
#: A text that contains a variable may become any value.
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
_PLAIN_URL: Final = {"type": "string", "pattern": r"^([Hh][Tt]{2}[Pp][Ss]?://|\$\{)", "description": "Its url alone."}
_NOTHING: Final = {"type": "null"}


def config_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a whole file. Texts with a unit or ``${NAME}`` are accepted for numbers."""
    router = RouterConfig.model_json_schema()
    models = {name: _block(model) for name, model in router.pop("$defs").items()}
    router = _block(router)
    keys = router["properties"]
    keys["health_check"] = _or(
        {
            "type": "object",
            "description": "How the replicas are probed.",
            "properties": {key: keys.pop(field) for key, field in HEALTH_CHECK.items()},
            "additionalProperties": False,
        },
        _NOTHING,
    )
    for name in BLOCKS:
        keys[name] = _or(keys[name], _NOTHING)
    keys["replicas"] |= {"items": _or(keys["replicas"]["items"], _PLAIN_URL), "minItems": 1}
    keys["replicas"].pop("default", None)
    router["required"] = ["replicas"]
    return {
        "$schema": _DRAFT,
        "title": "Configuration of trio_router",
        "type": "object",
        "properties": {"router": router},
        "patternProperties": {"^x-": {"description": "Ignored; for anchors."}},
        "additionalProperties": False,
        "required": ["router"],
        "$defs": models,
    }


def _block(model: dict[str, Any]) -> dict[str, Any]:
    """A model's schema as a block of the file."""
    keys = {name: _key(name, schema) for name, schema in model["properties"].items()}
    block = {key: value for key, value in model.items() if key != "title"} | {"properties": keys}
    for name in SECRETS.intersection(keys):
        keys[f"{name}_file"] = {"type": ["string", "null"], "description": f"A file that holds `{name}` instead."}
        block["not"] = {"required": [name, f"{name}_file"]}
    return block


def _key(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key != "title"}
    if "$ref" in schema or schema.get("type") == "array":
        return schema
    more: list[dict[str, Any]] = [_VARIABLE]
    if name.endswith("_seconds"):
        more.append({"type": "string", "pattern": SECONDS_PATTERN})
    elif name.endswith("_bytes"):
        more.append({"type": "string", "pattern": BYTES_PATTERN})
    return _or(schema, *more)


def _or(schema: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """A schema that accepts any of these; title, description and default stay outside the alternatives."""
    outside: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    inside = {key: value for key, value in schema.items() if key not in outside}
    return {**outside, "anyOf": [*inside.get("anyOf", [inside]), *more]}
