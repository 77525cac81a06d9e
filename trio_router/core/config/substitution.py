"""Variables in a file: ``${NAME}`` and ``${NAME:-default}``; ``$$`` is a dollar. As in shells and Compose files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from trio_router.core.config.nodes import Loader

_TEXT: Final = "tag:yaml.org,2002:str"
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_FOUND: Final = re.compile(rf"\$(?:(\$)|\{{({_NAME})(?::-([^}}]*))?\}}|(\{{[^}}]*\}}?)|({_NAME}))")


class Substitution:
    """One pass over the nodes of a file. ``problems`` and ``warnings`` map the location of a value to a text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._resolver: Any = Loader("")
        self._done: dict[int, yaml.Node] = {}
        self._open: set[int] = set()
        self.problems: dict[tuple[str | int, ...], str] = {}
        self.warnings: dict[tuple[str | int, ...], str] = {}

    def document(self, root: yaml.Node) -> yaml.Node:
        """`apply` to a whole file. Problems in what the router's block uses are reported there, wherever its anchor is."""
        if isinstance(root, yaml.MappingNode):
            for key, value in root.value:
                if key.value == "router":
                    self.apply(value, ("router",))
        return self.apply(root, ())

    def apply(self, node: yaml.Node, location: tuple[str | int, ...]) -> yaml.Node:
        """A copy of the node with all variables replaced. An unquoted value gets the type that YAML gives to the result
        (``${PORT}`` is a number); a quoted one stays a text. Keys are not changed.
        """
        if id(node) in self._open:
            self.problems[location] = "a block cannot contain itself"
            return type(node)(node.tag, [], node.start_mark, node.end_mark)
        if id(node) not in self._done:  # otherwise an alias
            self._open.add(id(node))
            self._done[id(node)] = self._copy(node, location)
            self._open.remove(id(node))
        return self._done[id(node)]

    def _copy(self, node: yaml.Node, location: tuple[str | int, ...]) -> yaml.Node:
        if isinstance(node, yaml.MappingNode):
            pairs = []
            for key, value in node.value:
                inner = location if key.tag.endswith(":merge") else (*location, str(key.value))
                pairs.append((key, self.apply(value, inner)))
            return yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark, node.flow_style)
        if isinstance(node, yaml.SequenceNode):
            items = [self.apply(value, (*location, index)) for index, value in enumerate(node.value)]
            return yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark, node.flow_style)
        return self._scalar(node, location)

    def _scalar(self, node: yaml.Node, location: tuple[str | int, ...]) -> yaml.Node:
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT or "$" not in node.value:
            return node

        def replace(found: re.Match[str]) -> str:
            dollar, name, default, braces, bare = found.groups()
            if dollar:
                return "$"
            if bare:
                self.warnings[location] = f"${bare} is not replaced; write ${{{bare}}} for the variable, or $${bare}"
                return found[0]
            if braces:
                self.problems[location] = (
                    f"${braces} is no variable: write ${{NAME}}, ${{NAME:-default}}, or $$ for a dollar"
                )
                return ""
            if default is not None:  # as in a shell, an empty variable counts as unset here
                return self._environ.get(name) or default
            if name not in self._environ:
                self.problems[location] = f"the variable {name} is not set; set it, or write ${{{name}:-default}}"
            return self._environ.get(name, "")

        value = _FOUND.sub(replace, node.value)
        plain = node.style is None and value != node.value
        tag = self._resolver.resolve(yaml.ScalarNode, value, (True, False)) if plain else node.tag
        return yaml.ScalarNode(tag, value, node.start_mark, node.end_mark, node.style)
