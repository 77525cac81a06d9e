"""Counts writes to another object's attribute, per 1,000 lines, and lists them.

    python bench/foreign_writes.py [FOLDER ...]        (default: trio_router)
    python bench/foreign_writes.py --below 4           exit status 1 if there are more per 1,000 lines

A foreign write is an assignment, an augmented assignment or a ``del`` whose target is an attribute of anything but
``self`` or ``cls``: ``pair.up.kept = None`` is one, ``self.kept = None`` is none, ``self.pair.up = x`` is one. Names that
the same function has bound to a fresh object (``replica = Replica(...)``, ``with CancelScope() as scope``) do not count:
who has just made an object may still fill it in. Nor do the registry's writes, which owns its replicas by contract.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

#: Files whose foreign writes are meant: the registry is the only one that changes a `Replica`.
OWNERS = ("registry.py",)


def targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement writes to, tuples taken apart."""
    if isinstance(node, ast.Assign):
        found = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        found = [node.target]
    elif isinstance(node, ast.Delete):
        found = list(node.targets)
    elif isinstance(node, ast.For | ast.AsyncFor):
        found = [node.target]
    elif isinstance(node, ast.With | ast.AsyncWith):
        found = [item.optional_vars for item in node.items if item.optional_vars is not None]
    else:
        return
    while found:
        target = found.pop()
        if isinstance(target, ast.Tuple | ast.List):
            found += target.elts
        elif isinstance(target, ast.Starred):
            found.append(target.value)
        else:
            yield target


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body without those of functions inside it."""
    queue = list(ast.iter_child_nodes(function))
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            queue += ast.iter_child_nodes(node)


def fresh_names(function: ast.AST) -> set[str]:
    """Names that the function binds to what a class (a name in capitals) has just made."""
    names = set()
    for node in own_nodes(function):
        values: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            values = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            values = [(node.target, node.value)]
        for target, value in values:
            if isinstance(target, ast.Name) and isinstance(value, ast.Call):
                function_name = (
                    value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
                )
                if function_name.lstrip("_")[:1].isupper():
                    names.add(target.id)
    return names


def foreign_writes(path: Path) -> list[tuple[int, str]]:
    """(line, target) of each in one file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module)]
    found = []
    for scope in scopes:
        fresh = fresh_names(scope)
        for node in own_nodes(scope):
            for target in targets(node):
                if not isinstance(target, ast.Attribute):
                    continue
                owner = target.value
                if isinstance(owner, ast.Name) and (owner.id in ("self", "cls") or owner.id in fresh):
                    continue
                found.append((target.lineno, ast.unparse(target)))
    return sorted(set(found))


def main() -> int:
    """Print the list and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("trio_router")])
    parser.add_argument("--below", type=float, metavar="N", help="fail unless fewer than N per 1,000 lines")
    options = parser.parse_args()
    lines = writes = 0
    for folder in options.folders:
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
            lines += len(path.read_text(encoding="utf-8").splitlines())
            if path.name in OWNERS:
                continue
            for line, target in foreign_writes(path):
                writes += 1
                print(f"{path}:{line}: {target}")
    rate = 1000 * writes / max(1, lines)
    print(f"{writes} writes to other objects' attributes in {lines} lines: {rate:.1f} per 1,000")
    return int(options.below is not None and rate >= options.below)


if __name__ == "__main__":
    sys.exit(main())
