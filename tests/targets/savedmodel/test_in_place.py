"""What TensorFlow's compiler makes of the state: no signature copies a pool."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import tensorflow as tf
from jax.experimental import jax2tf

from tandem_export.contract import is_cache
from tandem_export.graphs import BuildOptions, plan_graphs
from tandem_export.serving.protocol import warmup_inputs
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.savedmodel.session.methods import plan_methods
from tandem_export.targets.savedmodel.session.pool import Pool, make_pool
from tandem_export.targets.savedmodel.write.resources import resident_state
from tests.pairs import CONFIGS

ROLES = ("prefill", "insert", "primary_block", "drafter_step", "round", "round_router")
CALLS = [
    ("tandem", "prefill_b1_t4"),
    ("tandem", "insert"),
    ("tandem", "primary_block_b2_t4"),
    ("tandem", "round_b2_g3"),
    ("tandem", "round_b2_g0"),
    ("independent", "prefill_b1_t4"),
    ("independent", "drafter_step_b2_t2"),
    ("independent", "round_b2_g3"),
]


@cache
def planned(kind: str) -> tuple[dict[str, Method], Pool, dict[str, Any]]:
    options = BuildOptions(
        batch=(2,), gamma=(3,), prompt=(4,), cache=32, platforms=("cpu",), roles=ROLES
    )
    graphs = plan_graphs(CONFIGS[kind], options)
    pool = make_pool(CONFIGS[kind], options, 6)
    methods = plan_methods(graphs, pool)
    params = {name: leaf for graph in graphs for name, leaf in graph.params.items()}
    return {method.name: method for method in methods}, pool, params


def compiled_text(method: Method, pool: Pool, params: dict[str, Any]) -> str:
    """The module that TensorFlow compiles for a call over resident state."""
    leaves = {name: params[name] for name in method.params}
    weights = {n: tf.Variable(tf.zeros(leaf.shape, leaf.dtype)) for n, leaf in leaves.items()}
    state = resident_state(pool.shapes)
    convert = jax2tf.convert(method.apply, with_gradient=False)

    def step(inputs):
        read = {name: state[name].read() for name in method.state}
        done = convert(dict(weights), {"inputs": inputs, "state": read})
        for name, value in done["state"].items():
            state[name].assign(value)
        return {"outputs": done["outputs"], "problem": done["problem"]}

    made = warmup_inputs(method.inputs, pool.scratch)
    inputs = {name: tf.constant(value) for name, value in made.items()}
    compiled: Any = tf.function(step, jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(inputs)(stage="optimized_hlo")


@pytest.mark.parametrize(("kind", "name"), CALLS, ids=[f"{a}-{b}" for a, b in CALLS])
def test_no_call_copies_a_cache_of_the_pool(kind, name) -> None:
    methods, pool, params = planned(kind)
    text = compiled_text(methods[name], pool, params)
    whole = {leaf.shape for name, leaf in pool.shapes.items() if len(leaf.shape) == 4}
    shapes = "|".join(",".join(map(str, shape)) for shape in sorted(whole))
    assert re.search(rf"f32\[(?:{shapes})\]\S* parameter", text), "the pool is an argument"
    assert re.findall(rf"= f32\[(?:{shapes})\]\S* copy(?:-start)?\(.*", text) == []
    aliased = re.search(r"input_output_alias={(.*?)}, alias", text)
    caches = [name for name in methods[name].state if is_cache(name)]
    assert aliased is not None
    assert aliased[1].count("may-alias") >= len(caches)
