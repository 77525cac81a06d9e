"""YAML text as nodes with line and column, and the Python values made of them. Knows nothing of the router's keys."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import yaml

from trio_router.core.errors import ConfigError, Place, Problem

#: Keys of mappings and indexes of lists, from the top of a file.
Location = Sequence[str | int]

_MERGE = "tag:yaml.org,2002:merge"


class Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice: YAML calls it an error, PyYAML keeps the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, and not where mappings are constructed: there merged keys (``<<``) are mixed in already.
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"key {key.value!r} is given twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as exc:  # 2024-99-99
            raise yaml.constructor.ConstructorError(None, None, str(exc), node.start_mark) from None


class Document:
    """The nodes of one file."""

    def __init__(self, text: str, source: str | None) -> None:
        """Raises:
        ConfigError: the text is not YAML.
        """
        self._source = source
        try:
            self._loader = Loader(text)
            self._root: yaml.Node | None = self._loader.get_single_node()
        except (yaml.YAMLError, ValueError, RecursionError) as exc:
            raise self._not_yaml(exc) from None

    def change(self, change: Callable[[yaml.Node], yaml.Node]) -> None:
        """Replace the nodes by ``change(root)``; no effect in an empty file, which has none."""
        self._root = self._root and change(self._root)

    def value(self) -> Any:
        """What the nodes mean, with every key as text: YAML has keys that are numbers, dates or truth values (`on:`). None of
        ours is, so they are reported as unknown.

        Raises:
            ConfigError: a value is invalid (``2024-99-99``, an unknown tag).
        """
        try:
            return None if self._root is None else _with_string_keys(self._loader.construct_document(self._root))
        except (yaml.YAMLError, ValueError, RecursionError) as exc:
            raise self._not_yaml(exc) from None

    def place(self, location: Location, *, of_key: bool = False) -> Place | None:
        """Line and column of that value (with ``of_key`` of its key), or else of the innermost block around it that exists.

        A block is located at its key. What was merged in (``<<``) is located where it was written. Call it after `value`.
        """
        node, mark = self._root, None
        for depth, part in enumerate(location, 1):
            child = self._child(node, part)
            if child is None:
                break
            key, node = child
            wanted = key is not None and ((of_key and depth == len(location)) or not isinstance(node, yaml.ScalarNode))
            mark = key.start_mark if key is not None and wanted else node.start_mark
        return None if mark is None else Place(mark.line + 1, mark.column + 1)

    def _child(self, node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
        if isinstance(node, yaml.MappingNode):
            for key, value in reversed(node.value):  # of merged keys the last wins
                if isinstance(key, yaml.ScalarNode) and str(self._key(key)) == part:
                    return key, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            return None, node.value[part]
        return None

    def _key(self, node: yaml.ScalarNode) -> Hashable:
        key: Hashable = self._loader.construct_object(node)
        return key

    def _not_yaml(self, exc: Exception) -> ConfigError:
        mark = exc.problem_mark if isinstance(exc, yaml.MarkedYAMLError) else None
        reason = (exc.problem or exc.context) if isinstance(exc, yaml.MarkedYAMLError) else exc
        place = Place(mark.line + 1, mark.column + 1) if mark else None
        return ConfigError([Problem(f"not YAML: {reason}", place)], source=self._source)


def _with_string_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_string_keys(inner) for key, inner in value.items()}
    return [_with_string_keys(inner) for inner in value] if isinstance(value, list) else value
