"""Names that rooms agree on are written in `contract/` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_export.contract import REGISTERS, ROLES, SAMPLING_INPUTS, AcceptanceRule, Stream

PACKAGE = Path(__file__).parents[2] / "tandem_export"
NAMES = {*REGISTERS, *SAMPLING_INPUTS}
# A cache, a row for `insert`, new rows, or the name of a graph, whole or put together by hand.
PATTERN = re.compile(rf"^(primary|drafter)_[kv]\.|^prefix\.|^rows\.|^({'|'.join(ROLES)})_b(\d|$)")
# The command line and `measure` speak of a user's options, which have the same names.
USERS_OPTIONS = ("cli", "measure")
ALLOWED = {
    ("runtime/request/params.py", name): "an option of the user's, named in its error"
    for name in SAMPLING_INPUTS
} | {
    ("targets/onnx/lower/primitives/reduction.py", "top_k"): "an operation of jax",
    ("server/app.py", "tau"): "what a client reads of the model",
    ("server/metrics.py", "position"): "a label of vLLM's metrics",
}


def literals(path: Path) -> Iterator[str]:
    """Yields the texts of a module, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.value


def modules() -> list[str]:
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    return sorted(str(p) for p in paths if p.parts[0] not in ("contract", *USERS_OPTIONS))


@pytest.mark.parametrize("name", modules())
def test_no_name_of_the_contract_is_written_again(name: str) -> None:
    written = [text for text in literals(PACKAGE / name) if text in NAMES or PATTERN.match(text)]
    assert [text for text in written if (name, text) not in ALLOWED] == []


def test_rules_and_streams_are_numbered_once() -> None:
    """No other module assigns a number to the name of a rule or of a stream."""
    names = "|".join({rule.name for rule in AcceptanceRule} | {stream.name for stream in Stream})
    assignment = re.compile(rf"^\s*({names})(: int)? = \d", re.MULTILINE)
    again = [name for name in modules() if assignment.search((PACKAGE / name).read_text("utf-8"))]
    assert again == []
