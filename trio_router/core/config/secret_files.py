"""Secrets in files of their own: ``secret_file`` for ``secret``, and so for every field in `shape.SECRETS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trio_router.core.config.shape import HIDDEN, SECRETS, keys_at

#: Returns the text of the file at a path. Raises OSError, or UnicodeDecodeError.
ReadFile = Callable[[str], str]


class SecretFiles:
    """One pass over a ``router:`` block. ``problems`` maps the location of a key to its error; ``read`` are the locations
    of the secrets that came from a file.
    """

    def __init__(self, read_file: ReadFile | None) -> None:
        self._read_file = read_file
        self.problems: dict[tuple[str | int, ...], str] = {}
        self.read: set[tuple[str | int, ...]] = set()

    def resolve(self, value: Any, location: tuple[str | int, ...]) -> Any:
        """A copy of the block with each ``<name>_file`` replaced by ``<name>``."""
        if isinstance(value, list):
            return [self.resolve(inner, (*location, index)) for index, inner in enumerate(value)]
        if not isinstance(value, dict):
            return value
        known = keys_at(location)
        found = {
            # The value of an unknown key is not one of our blocks.
            key: self.resolve(inner, (*location, key)) if key in known else inner
            for key, inner in value.items()
        }
        for name in SECRETS.intersection(known):
            if found.get(name) == HIDDEN:
                self.problems[(*location, name)] = (
                    f"{HIDDEN} stands for a secret that was hidden; write the secret itself"
                )
            if f"{name}_file" in found:
                self._take(found, name, location)
        return found

    def _take(self, block: dict[str, Any], name: str, location: Sequence[str | int]) -> None:
        key = f"{name}_file"
        path, at = block.pop(key), (*location, key)
        if path is None:
            return
        if block.get(name) is not None:
            self.problems[at] = f"give {name} or {key}, not both"
        elif not isinstance(path, str):
            self.problems[at] = f"must be the path of a file (got {path!r})"
        elif self._read_file is None:
            self.problems[at] = f"files cannot be read here; give {name} itself"
        else:
            try:
                block[name] = self._read_file(path).rstrip("\r\n")
            except OSError as exc:
                self.problems[at] = f"cannot read {path}: {exc.strerror or exc}"
            except ValueError as exc:  # not UTF-8; a path with a null byte
                self.problems[at] = f"cannot read {path}: {exc}"
            else:
                self.read.add((*location, name))
