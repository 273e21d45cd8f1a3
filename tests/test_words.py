"""Names say what a thing is, and docstrings begin with a verb."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tests.imports import modules

# They say where a value stands in the sentence. A few are right: `found` of a search, in two lines.
VAGUE = ("asked", "found", "kept", "made", "own", "whole")
LIMIT = 60


def bound_names(tree: ast.Module) -> Iterator[str]:
    """Yields each name that a module binds: by assignment, as an argument, in a loop."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.arg):
            yield node.arg


def test_names_say_what_a_thing_is() -> None:
    counts = {
        module: Counter(name for name in bound_names(tree) if name in VAGUE)
        for module, tree in modules().items()
    }
    total = sum(count.total() for count in counts.values())
    most = sorted(counts.items(), key=lambda item: -item[1].total())[:10]
    assert total < LIMIT, f"{total} in all, most of them in {most}"


# They end in an s, and are no verbs.
NOUNS = {"As", "Bytes", "Facts", "Its", "Names", "Options", "Rows", "This", "Tokens", "Values"}


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields name and docstring of each function that is called; a property is a noun."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
        text = ast.get_docstring(node)
        if text and not names & {"property", "cached_property", "setter"}:
            yield node.name, text


def begins_with_verb(text: str) -> bool:
    """Returns whether a text begins with a verb as in "Returns", or with "See" a protocol's."""
    first = text.split()[0].rstrip(",.:;")
    return first == "See" or (
        first[0].isupper() and first[1:].islower() and first.endswith("s") and first not in NOUNS
    )


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    """D401 of ruff asks for "Return"; this project's docstrings say what a function does."""
    nouns = [
        f"{module}.{name}: {text.splitlines()[0]}"
        for module, tree in modules().items()
        for name, text in docstrings(tree)
        if not begins_with_verb(text)
    ]
    assert nouns == []
