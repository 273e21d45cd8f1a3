"""Row copies in and out of the pool, in plain JAX."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.savedmodel.session.methods import plan_methods
from tandem_export.targets.savedmodel.session.pool import (
    make_pool,
    put_positions,
    put_registers,
    take_positions,
    take_rows,
)
from tests.pairs import CONFIGS
from tests.serving.calls import floats, ints, sampling

SLOTS, CACHE = 4, 32
ROLES = ("prefill", "insert", "primary_block", "drafter_step", "round")


def test_rows_are_taken_and_put_by_slot() -> None:
    pool = jnp.arange(2 * 4 * 3 * 5 * 2, dtype=jnp.float32).reshape(8, 3, 5, 2)
    slots = jnp.array([6, 1], jnp.int32)
    rows = take_rows(pool, slots)
    np.testing.assert_array_equal(rows, np.asarray(pool)[[6, 1]])
    start = jnp.array([0, 3], jnp.int32)
    put = put_positions(pool, take_positions(-rows, start, 2), slots, start)
    want = np.array(pool)
    want[6, :, 0:2] *= -1
    want[1, :, 3:5] *= -1
    np.testing.assert_array_equal(put, want)
    registers = put_registers(jnp.arange(8), jnp.array([70, 71]), slots)
    assert registers.tolist() == [0, 71, 2, 3, 4, 5, 70, 7]


def planned(kind: str) -> dict[str, tuple[Graph, Method]]:
    options = BuildOptions(
        batch=(2,), gamma=(3,), prompt=(4,), cache=CACHE, platforms=("cpu",), roles=ROLES
    )
    graphs = plan_graphs(CONFIGS[kind], options)
    methods = plan_methods(graphs, make_pool(CONFIGS[kind], options, SLOTS))
    own = {method.name: method for method in methods}
    return {g.name: (g, own[g.name]) for g in graphs if g.role != "insert"}


@cache
def pairs(kind: str) -> dict[str, tuple[Graph, Method]]:
    return planned(kind)


def values(shapes, seed: int):
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(
            rng.integers(1, 3, leaf.shape)
            if leaf.dtype.kind in "iu"
            else rng.normal(size=leaf.shape),
            leaf.dtype,
        )
        for name, leaf in sorted(shapes.items())
    }


CALLS = [
    ("tandem", "round_b2_g3"),
    ("independent", "round_b2_g3"),
    ("tandem", "primary_block_b2_t4"),
    ("independent", "drafter_step_b2_t1"),
]


@pytest.mark.parametrize(("kind", "name"), CALLS, ids=[f"{a}-{b}" for a, b in CALLS])
def test_a_call_on_slots_is_the_graph_on_those_rows(kind, name) -> None:
    """Every cache position and register that the graph changes comes back, and no other row's."""
    graph, method = pairs(kind)[name]
    params, inputs = values(graph.params, 0), values(graph.inputs, 1)
    if graph.role == "round":
        inputs = sampling(2, temperature=floats(0, 0.8), rule=ints(0, 1))
    rows = values(graph.state, 2)
    slots = np.array([3, 1])
    rng = np.random.default_rng(3)
    pool = {}
    for key, value in rows.items():
        whole = rng.integers(5, 9, (SLOTS + 1, *value.shape[1:])).astype(value.dtype)
        whole[slots] = value
        pool[key] = jnp.asarray(whole)
    owner = jnp.full(SLOTS + 1, 7, jnp.int32)
    state = pool | {"owner": owner, "epoch": jnp.int32(5)}
    addressed = {"slots": jnp.asarray(slots, jnp.int32), "owner": jnp.array([7], jnp.int32)}
    done = jax.jit(method.apply)(params, {"state": state, "inputs": inputs | addressed})
    outputs, after = jax.jit(graph.function)(params, rows, inputs)
    assert int(done["problem"]["code"]) == 0
    for key, value in outputs.items():
        np.testing.assert_array_equal(done["outputs"][key], value)
    for key, value in after.items():
        want = np.array(pool[key])
        want[slots] = value
        np.testing.assert_array_equal(done["state"][key], want, err_msg=key)


def test_a_full_cache_is_refused_and_only_the_scratch_slot_is_written() -> None:
    graph, method = pairs("tandem")["round_b2_g3"]
    state = values({n: method_state(graph)[n] for n in graph.state}, 4)
    state |= {"owner": jnp.full(SLOTS + 1, 7, jnp.int32), "epoch": jnp.int32(5)}
    # Slot 1: a block of 4 would end behind the cache, and two tokens are still to come.
    state["position"] = jnp.array([3, CACHE - 3, 3, 3, 0], jnp.int32)
    state["budget"] = jnp.full(SLOTS + 1, 2, jnp.int32).at[SLOTS].set(0)
    addressed = {"slots": jnp.array([0, 1], jnp.int32), "owner": jnp.array([7], jnp.int32)}
    given = {"state": state, "inputs": sampling(2) | addressed}
    done = jax.jit(method.apply)(values(graph.params, 0), given)
    problem = {name: int(value) for name, value in done["problem"].items()}
    texts = method.texts(jax.eval_shape(lambda: state))
    assert (
        f"cache is full: a row's position must be at most {CACHE - 4}" in texts[problem["code"] - 1]
    )
    assert (problem["row"], problem["got"]) == (1, CACHE - 3)
    for name, value in done["state"].items():
        np.testing.assert_array_equal(value[:SLOTS], state[name][:SLOTS], err_msg=name)


def method_state(graph: Graph):
    """The pool's shapes of the state that `graph` uses."""
    return {
        name: jax.ShapeDtypeStruct((SLOTS + 1, *leaf.shape[1:]), leaf.dtype)
        for name, leaf in graph.state.items()
    }
