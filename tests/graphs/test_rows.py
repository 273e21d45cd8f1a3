"""The `rows` contract: committing the returned rows gives what the writing step functions write."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.graphs import BuildOptions, Graph, plan_graphs, plan_rows
from tandem_export.graphs.steps.cache import write_rows
from tandem_export.model import PARTS, has_part
from tests.tiny import GEMMA2, INDEPENDENT, TANDEM, random_params

OPTIONS = BuildOptions(batch=(2,), gamma=(2,), prompt=(4,), cache=16, attention="two_part")
WINDOWED = dataclasses.replace(TANDEM, primary=GEMMA2)
CASES = {
    "tandem-block": (TANDEM, "primary_block_b2_t3"),
    "tandem-drafter": (TANDEM, "drafter_step_b2_t1"),
    "tandem-router": (TANDEM, "router_b2"),
    # Without logits no output depends on what the last layers attend to.
    "independent-prefill": (INDEPENDENT, "prefill_b1_t4"),
    "windowed-block": (WINDOWED, "primary_block_b2_t3"),
}


def all_params(config):
    return {
        f"{part}.{name}": value
        for part in PARTS
        if has_part(config, part)
        for name, value in random_params(config, part).items()
    }


def random_values(shapes):
    rng = np.random.default_rng(3)
    made = {name: rng.normal(size=leaf.shape).astype(leaf.dtype) for name, leaf in shapes.items()}
    if "tokens" in shapes:
        made["tokens"] = rng.integers(0, 17, shapes["tokens"].shape).astype(np.int32)
        made["start"] = np.arange(5, 5 + len(made["start"]), dtype=np.int32)
    return made


def run(graph: Graph, params, state, inputs):
    own = {name: params[name] for name in graph.params}, {n: state[n] for n in graph.state}, inputs
    # Both sides with little optimization: the same operations in the same order.
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(graph.function, compiler_options=options)(*own)


def planned(plan, config, name: str) -> Graph:
    role = name.rsplit("_b", 1)[0]
    graphs = plan(config, dataclasses.replace(OPTIONS, roles=(role,)))
    return next(graph for graph in graphs if graph.name == name)


@pytest.mark.parametrize(("config", "name"), CASES.values(), ids=CASES)
def test_rows_committed_are_the_written_caches(config, name):
    whole, graph = (planned(plan, config, name) for plan in (plan_graphs, plan_rows))
    state, inputs = random_values(whole.state), random_values(whole.inputs)
    params = all_params(config)
    want, after = run(whole, params, state, inputs)
    got, unwritten = run(graph, params, state, inputs)
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value)
    for key, value in unwritten.items():
        np.testing.assert_array_equal(value, state[key])
    rows = {key.removeprefix("rows."): row for key, row in got.items() if key.startswith("rows.")}
    assert set(rows) == set(after)
    for key, row in rows.items():
        np.testing.assert_array_equal(
            write_rows(jnp.asarray(state[key]), row, jnp.asarray(inputs["start"])), after[key]
        )


def test_the_plan_has_every_bucket_and_no_registers():
    options = dataclasses.replace(OPTIONS, batch=(1, 4), gamma=(1, 3), roles=("primary_block",))
    graphs = plan_rows(TANDEM, options)
    assert [graph.name for graph in graphs] == [
        f"primary_block_b{b}_t{t}" for b in (1, 4) for t in (1, 2, 4)
    ]
    assert {graph.parity for graph in graphs} == {"P1"}
    assert all(name.startswith("primary_") for graph in graphs for name in graph.state)
