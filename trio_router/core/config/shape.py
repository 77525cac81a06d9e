"""Conversion between the shape of a file and that of the models, in both directions.

In a file ``health_check:`` is a block, and a replica may be a plain URL; in `RouterConfig` its keys are flat fields, as in
FastVideo's router. A secret may stand in a file of its own, which ``secret_file`` names.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from trio_router.core.config.models import RouterConfig

#: key in the file's ``health_check`` block -> field of RouterConfig
HEALTH_CHECK: Final = {
    "path": "health_check_path",
    "interval_seconds": "health_check_interval_seconds",
    "timeout_seconds": "health_check_timeout_seconds",
    "failure_threshold": "failure_threshold",
    "recovery_threshold": "recovery_threshold",
}
#: field of RouterConfig -> where it stands in the file
IN_FILE: Final = {field: ("health_check", key) for key, field in HEALTH_CHECK.items()}
#: Fields of this name, in any block, are never shown, and can be read from the file that ``<name>_file`` names.
SECRETS: Final = frozenset({"secret", "token", "password"})
#: Replaces a secret where a configuration is shown.
HIDDEN: Final = "***"

BLOCKS: Final = frozenset(
    name
    for name, field in RouterConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a block that an annotation contains, alone or in a list; None if it contains none."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for inner in typing.get_args(annotation) if (found := model_in(inner)) is not None), None)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a block of the file may have, in the order of the reference."""
    if model is RouterConfig:
        return [key for key in model.model_fields if key not in IN_FILE] + ["health_check"]
    return [key for field in model.model_fields for key in ((field, f"{field}_file") if field in SECRETS else (field,))]


def keys_at(location: typing.Sequence[str | int]) -> list[str]:
    """The keys that are allowed in the block at that location of the file, from ``router`` on."""
    if tuple(location) == ("router", "health_check"):
        return list(HEALTH_CHECK)
    model: type[BaseModel] = RouterConfig
    for part in location[1:]:
        if isinstance(part, str):
            model = model_in(model.model_fields[part].annotation) or model
    return keys_of(model)


def all_keys() -> Iterator[tuple[str, str]]:
    """(key, dotted path of its block) for each key that a file may have."""
    yield from ((key, "router") for key in keys_of(RouterConfig))
    yield from ((key, "router.health_check") for key in HEALTH_CHECK)
    for name, field in RouterConfig.model_fields.items():
        model = model_in(field.annotation)
        if model is not None:
            block = f"router.{name}" if name in BLOCKS else f"router.{name}[]"
            yield from ((key, block) for key in keys_of(model))


def file_location(location: typing.Sequence[str | int]) -> tuple[str | int, ...]:
    """The location in the file of the field at that location of `RouterConfig`."""
    first = IN_FILE.get(str(location[0]), (location[0],)) if location else ()
    # pydantic names the branch of a union ("int", "literal['auto']"); the file has no such key
    return ("router", *first, *(part for part in location[1:] if part not in ("int", "literal['auto']")))


def dotted(location: typing.Sequence[str | int]) -> str:
    """The location as people write it: ``router.replicas[0].url``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def file_shape(config: RouterConfig) -> dict[str, Any]:
    """The whole configuration as it would stand in a file, defaults included, secrets hidden."""
    values = _hide(config.model_dump(mode="json"))
    block = {key: value for key, value in values.items() if key not in IN_FILE}
    block["health_check"] = {key: values[field] for key, field in HEALTH_CHECK.items()}
    return {"router": block}


def _hide(value: Any) -> Any:
    """A copy with secrets hidden, and with dollars doubled, because they would begin a variable."""
    if isinstance(value, dict):
        return {key: HIDDEN if key in SECRETS and inner is not None else _hide(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hide(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
