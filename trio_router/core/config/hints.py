"""What an unknown key was probably meant to be: the nearest known key. The texts of other errors are in `messages`."""

from __future__ import annotations

import difflib
from typing import Final

from trio_router.core.config.shape import all_keys, keys_at

#: Names in other routers, and in earlier versions.
RENAMED: Final = {"line": "queue", "backends": "replicas", "upstreams": "replicas"}

#: Likeness (0 to 1) that a key of another block needs; it must also be nearer than any key of the block itself.
_ELSEWHERE: Final = 0.85
_HERE: Final = 0.5


def unknown_key(location: tuple[str | int, ...]) -> str:
    """The error text for the key at that location of the file: the nearest known key, here or in another block."""
    *block, last = location
    key, known = str(last), keys_at(block)
    if RENAMED.get(key) in known:
        return f"unknown key; did you mean {RENAMED[key]!r}?"
    here = max(known, key=lambda name: _likeness(key, name))
    return _elsewhere(key, _likeness(key, here)) or (
        f"unknown key; did you mean {here!r}?"
        if _likeness(key, here) >= _HERE
        else f"unknown key; known here: {', '.join(known)}"
    )


def unknown_top_key(key: str) -> str:
    """The error text for a key beside ``router``."""
    likeness = _likeness(key, "router")
    return _elsewhere(key, likeness) or (
        "unknown key; did you mean 'router'?"
        if likeness >= _HERE
        else "unknown key; known here: router, and keys that begin with x-, which are ignored"
    )


def _elsewhere(key: str, likeness: float) -> str | None:
    # Those of `admin` are common words (host, port): whoever writes one elsewhere means another block.
    known = [(name, path) for name, path in all_keys() if path != "router.admin"]
    near = {name: _likeness(key, name) for name, _ in known}
    best = max(near.values())
    if best < _ELSEWHERE or best <= likeness:
        return None
    paths = [f"{path}.{name}" for name, path in known if near[name] == best]
    return f"unknown key; did you mean {' or '.join(paths)}?"


def _likeness(key: str, name: str) -> float:
    return difflib.SequenceMatcher(None, key, name).ratio()
