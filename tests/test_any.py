"""`Any` stays at the borders to packages without types.

Aliases name what has no type and why: `Json`, `Message`, `Option`, `Operation`, `Proto`.
"""

from __future__ import annotations

import ast

from tests.imports import modules

LIMIT = 120


def test_any_is_rare() -> None:
    counts = {
        name: sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))
        for name, tree in modules().items()
    }
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda item: -item[1])[:10]
    assert total < LIMIT, f"{total} in all, most of them in {most}"
