"""The checks that run with the tests cover what they are for."""

from __future__ import annotations

import ast
import tomllib

import jax

from tests.imports import ROOT, modules

OPTION = "--jaxtyping-packages="


def imports_shapes(tree: ast.Module) -> bool:
    return any(isinstance(n, ast.ImportFrom) and n.module == "jaxtyping" for n in ast.walk(tree))


def test_shapes_in_signatures_are_checked_wherever_they_stand() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    options = settings["tool"]["pytest"]["ini_options"]["addopts"]
    (packages,) = (text.removeprefix(OPTION) for text in options if text.startswith(OPTION))
    checked = tuple(packages.split(",")[:-1])  # the last one is the checker
    with_shapes = {name for name, tree in modules().items() if imports_shapes(tree)}
    assert {name for name in with_shapes if not name.startswith(checked)} == set()


def test_jax_promotes_neither_dtypes_nor_ranks() -> None:
    """tests/conftest.py sets both."""
    assert getattr(jax.config, "jax_numpy_dtype_promotion") == "strict"  # noqa: B009
    assert getattr(jax.config, "jax_numpy_rank_promotion") == "raise"  # noqa: B009
