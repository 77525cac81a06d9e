"""A configuration file: YAML with one top-level ``router:`` block. Finds every mistake at once, each with its path.

It takes the seed's files as they are: there ``health_check:`` is a block, here its keys are flat fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from trio_router.core.errors import ConfigError

from .models import RouterConfig, bare_url

#: key in the file's ``health_check`` block -> field of RouterConfig
HEALTH_CHECK: Final = {
    "path": "health_check_path",
    "interval_seconds": "health_check_interval_seconds",
    "timeout_seconds": "health_check_timeout_seconds",
    "failure_threshold": "failure_threshold",
    "recovery_threshold": "recovery_threshold",
}
_BLOCKS: Final = frozenset(
    name
    for name, field in RouterConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
)
_IN_FILE: Final = {field: ("health_check", key) for key, field in HEALTH_CHECK.items()}


def parse_config(
    text: str,
    *,
    source: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    policies: Collection[str] = (),
) -> RouterConfig:
    """Read a configuration from YAML text. ``overrides`` replace top-level keys of the ``router:`` block.

    ``policies`` are names that ``balance`` may have beside the router's own: those that the program gives to `Router`.

    Raises:
        ConfigError: with one line for every mistake, in the order of the file.
    """
    raw = _load(text, source)
    if not isinstance(raw, dict) or "router" not in raw:
        raise ConfigError(["router: missing; the file must have a top-level 'router:' block"], source=source)
    problems = [_unknown(str(key), ["router"], "") for key in raw if key != "router"]
    block = raw["router"]
    if not isinstance(block, dict):
        raise ConfigError([*problems, "router: must be a block of keys"], source=source)
    values, more = _flatten({**block, **(overrides or {})})
    problems += more
    try:
        config = RouterConfig.model_validate(values, context={"policies": policies})
    except ValidationError as exc:
        problems += [_line(error) for error in exc.errors(include_url=False)]
        problems += _duplicates(values.get("replicas"), already=problems)
    if problems:
        raise ConfigError(problems, source=source)
    return config


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice: YAML says it is an error, PyYAML keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, and not where mappings are constructed: there merged keys (``<<``) have been mixed in already.
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"key {key.value!r} is given twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _load(text: str, source: str | None) -> Any:
    try:
        return _with_string_keys(yaml.load(text, Loader=_Loader))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"{where}not YAML: {exc.problem or exc.context}"], source=source) from None
    except (yaml.YAMLError, ValueError, RecursionError) as exc:  # 2024-99-99; or a block in itself
        raise ConfigError([f"not YAML: {exc}"], source=source) from None


def _flatten(block: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The file's shape to the model's: ``health_check`` becomes flat fields, which the file itself must not use."""
    values = {key: value for key, value in block.items() if key != "health_check"}
    # A block whose keys are all commented out is an empty block, not a null.
    values = {key: {} if value is None and key in _BLOCKS else value for key, value in values.items()}
    problems = []
    for field in [key for key in values if key in _IN_FILE]:
        problems.append(f"router.{field}: write it as router.{'.'.join(_IN_FILE[field])}")
        del values[field]
    checks = block.get("health_check")
    if checks is None:
        return values, problems
    if not isinstance(checks, dict):
        return values, [*problems, "router.health_check: must be a block of keys"]
    for key, value in checks.items():
        if key in HEALTH_CHECK:
            values[HEALTH_CHECK[key]] = value
        else:
            problems.append(_unknown(str(key), list(HEALTH_CHECK), "router.health_check."))
    return values, problems


def _with_string_keys(value: Any) -> Any:
    """YAML has keys that are numbers, dates or truth values (`on:`); none of ours is, so they come out as unknown."""
    if isinstance(value, dict):
        return {str(key): _with_string_keys(inner) for key, inner in value.items()}
    return [_with_string_keys(inner) for inner in value] if isinstance(value, list) else value


def _line(error: Any) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        return _unknown(str(location[-1]), known, _path(location[:-1]) + ".")
    message = error["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    message = message[0].lower() + message[1:] if message.startswith(("Input", "Field")) else message
    given = error.get("input")
    tell = error["type"] != "value_error" and location[-1:] != ("secret",)
    shown = f" (got {given!r})" if tell and isinstance(given, str | int | float) else ""
    return f"{_path(location)}: {message}{shown}"


def _path(location: tuple[Any, ...]) -> str:
    if location and location[0] in _IN_FILE:
        location = (*_IN_FILE[location[0]], *location[1:])
    text = "router"
    for part in location:
        # pydantic names the branch of a union ("int", "literal['auto']"); the file has no such key
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in ("int", "literal['auto']"):
            text += f".{part}"
    return text


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = RouterConfig
    for part in location:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            inner = [a for a in getattr(annotation, "__args__", ()) if isinstance(a, type)]
            model = next((a for a in [annotation, *inner] if isinstance(a, type) and issubclass(a, BaseModel)), model)
    known = list(model.model_fields)
    if model is RouterConfig:
        return [key for key in known if key not in _IN_FILE] + ["health_check"]
    return known


def _unknown(key: str, known: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"{prefix}{key}: unknown key; {hint}"


def _duplicates(replicas: Any, *, already: list[str]) -> list[str]:
    """Duplicate URLs, also where another mistake kept the model from looking for them."""
    if not isinstance(replicas, list) or any("Duplicate" in line for line in already):
        return []
    seen: dict[str, int] = {}
    found = []
    for index, replica in enumerate(replicas):
        url = replica.get("url") if isinstance(replica, dict) else None
        if isinstance(url, str) and url:
            first = seen.setdefault(_identity(url), index)
            if first != index:
                found.append(f"router.replicas[{index}].url: Duplicate of router.replicas[{first}].url")
    return found


def _identity(url: str) -> str:
    """What makes two URLs the same, also for one that is no URL of a replica."""
    try:
        bare = bare_url(url)
    except ValueError:
        return url
    return url if bare.endswith("//") else bare
