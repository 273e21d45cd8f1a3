"""Reads which module of the package imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "tandem_export"


class Import(NamedTuple):
    """One name that a module imports from the package.

    Attributes:
      importer: the module that imports, dotted.
      source: the module or package that the name comes from, dotted.
      name: the name.
    """

    importer: str
    source: str
    name: str


def is_package(module: str) -> bool:
    return (ROOT / module.replace(".", "/")).is_dir()


def is_module(module: str) -> bool:
    return is_package(module) or (ROOT / f"{module.replace('.', '/')}.py").is_file()


@cache
def modules() -> dict[str, ast.Module]:
    """Returns every module of the package, dotted; a package's name is that of its `__init__`."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


@cache
def exported(package: str) -> frozenset[str]:
    """Returns what the package's `__all__` lists."""
    for node in modules()[package].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def imports() -> Iterator[Import]:
    """Yields every import inside the package, those inside functions too.

    A name that is exported by a face comes from the face, also if a module has the same name.
    """
    for importer, tree in modules().items():
        typing_only = _typing_only(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node in typing_only:
                continue
            if node.module is None or node.module.partition(".")[0] != PACKAGE:
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                face = is_package(node.module) and alias.name in exported(node.module)
                source = inner if is_module(inner) and not face else node.module
                yield Import(importer, source, alias.name)


def _typing_only(tree: ast.Module) -> set[ast.AST]:
    guards = (n for n in ast.walk(tree) if isinstance(n, ast.If))
    return {
        inner
        for guard in guards
        if ast.unparse(guard.test) == "TYPE_CHECKING"
        for inner in ast.walk(guard)
    }
