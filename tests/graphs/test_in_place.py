"""What XLA makes of the state: donated buffers are reused, no cache is copied."""

from __future__ import annotations

import re
from functools import cache

import jax
import numpy as np
import pytest

from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tests.graphs.harness import CACHE, TWIN_INDEPENDENT, TWIN_TANDEM

CONFIGS = {"tandem": TWIN_TANDEM, "independent": TWIN_INDEPENDENT}
CASES = [
    ("tandem", "primary_block_b2_t4"),
    ("independent", "drafter_step_b2_t2"),
    ("tandem", "round_router_b2_g3"),
    ("independent", "round_b2_g3"),
]
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(3,),
    prompt=(4,),
    cache=CACHE,
    roles=("primary_block", "drafter_step", "round", "round_router"),
)


@cache
def planned(kind: str) -> dict[str, Graph]:
    return {graph.name: graph for graph in plan_graphs(CONFIGS[kind], OPTIONS)}


def state_bytes(graph: Graph) -> int:
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in graph.state.values())


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{a}-{b}" for a, b in CASES])
def test_the_state_is_updated_in_place(kind: str, name: str) -> None:
    graph, config = planned(kind)[name], CONFIGS[kind]
    jitted = jax.jit(graph.function, donate_argnums=1)
    compiled = jitted.lower(graph.params, graph.state, graph.inputs).compile()
    memory, text = compiled.memory_analysis(), compiled.as_text()
    assert memory is not None and text is not None
    assert memory.alias_size_in_bytes == state_bytes(graph)
    assert cache_copies(text, config) == []


def cache_copies(text: str, config: TandemConfig) -> list[str]:
    """Lines of the compiled module that copy a whole cache."""
    p = config.primary
    shape = rf"f32\[2,{p.num_kv_heads},{CACHE},{p.head_size}\]"
    return re.findall(rf"= {shape}\S* copy(?:-start)?\(.*", text)
