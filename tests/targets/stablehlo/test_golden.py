"""No graph changes unnoticed: moves and new names leave every module as it was."""

from __future__ import annotations

import json

import jax
import pytest

from tests.targets.stablehlo import golden

STORED = json.loads(golden.PATH.read_text())
GRAPHS = {key: (graph, platform) for key, platform, graph in golden.graphs()}
# Another release of jax lowers the same function to other operations.
COMPARED = ("signature", "sha256") if STORED["jax"] == jax.__version__ else ("signature",)


def test_the_golden_has_every_graph() -> None:
    assert sorted(STORED["graphs"]) == sorted(GRAPHS)


@pytest.mark.parametrize("key", GRAPHS)
def test_a_graph_is_what_it_was(key: str) -> None:
    graph, platform = GRAPHS[key]
    now, hint = golden.describe(graph, platform), "meant? python -m tests.targets.stablehlo.golden"
    for part in COMPARED:
        assert now[part] == STORED["graphs"][key][part], f"{key}: {part} differs; {hint}"
