"""pydantic's errors, phrased with the terms and the paths of the file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trio_router.core.config.hints import unknown_key
from trio_router.core.config.models import bare_url
from trio_router.core.config.shape import SECRETS, dotted, file_location

_DUPLICATE: Final = re.compile(r"Duplicate (\w+) (['\"])(.*)\2")
_KEY_FIRST: Final = re.compile(r"([a-z_]+)(?:\[(\d+)\])?(?:\.([a-z_]+))?\b")


@dataclass(frozen=True)
class Complaint:
    """One mistake: the path that it is reported with, its location, and what is wrong."""

    location: tuple[str | int, ...]
    stands_at: tuple[str | int, ...]
    text: str
    of_key: bool = False

    @classmethod
    def of(cls, error: Any, values: Mapping[str, Any], *, from_files: Collection[tuple[str | int, ...]]) -> Complaint:
        """From an error of pydantic's about ``values``; ``from_files`` are the locations of secrets that came from a file."""
        location = file_location(error["loc"])
        if error["type"] == "extra_forbidden":
            return cls(location, location, unknown_key(location), of_key=True)
        if location in from_files:
            location = (*location[:-1], f"{location[-1]}_file")
        text = _message(error, secret=str(location[-1]).removesuffix("_file") in SECRETS)
        return cls(location, _culprit(location, text, values), text)


def _message(error: Any, *, secret: bool) -> str:
    message: str = error["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    message = message[0].lower() + message[1:] if message.startswith(("Input", "Field")) else message
    given = error.get("input")
    tell = error["type"] != "value_error" and not secret and isinstance(given, str | int | float)
    return f"{message} (got {given!r})" if tell else message


def _culprit(location: tuple[str | int, ...], text: str, values: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The location to report for a mistake of a whole block or list: the key that the message begins with, or the last of
    two equal items.
    """
    if found := _DUPLICATE.match(text):
        items: Any = values
        for part in location[1:]:
            items = items[part]
        at = [i for i, item in enumerate(items) if isinstance(item, dict) and item.get(found[1]) == found[3]]
        return (*location, at[-1], found[1]) if at else location
    if len(location) <= 2 and (found := _KEY_FIRST.match(text)):
        key, index, inner = found.groups()
        return (*location, key, *([int(index)] if index else []), *([inner] if inner else []))
    return location


def duplicate_urls(replicas: Any) -> dict[tuple[str | int, ...], str]:
    """Duplicate URLs by location, also where another mistake kept the model from looking for them."""
    seen: dict[str, int] = {}
    found: dict[tuple[str | int, ...], str] = {}
    for index, replica in enumerate(replicas if isinstance(replicas, list) else ()):
        url = replica.get("url") if isinstance(replica, dict) else None
        if isinstance(url, str) and url:
            first = seen.setdefault(_identity(url), index)
            if first != index:
                other = dotted(("router", "replicas", first, "url"))
                found["router", "replicas", index, "url"] = f"Duplicate of {other}"
    return found


def _identity(url: str) -> str:
    """What makes two URLs the same, also for a text that is no valid URL of a replica."""
    try:
        bare = bare_url(url)
    except ValueError:
        return url
    return url if bare.endswith("//") else bare
