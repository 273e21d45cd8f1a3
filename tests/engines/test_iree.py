"""The portable artifacts in IREE: a compiler and a runtime that know nothing of jax."""

from __future__ import annotations

from functools import cache
from typing import Any

import iree.compiler
import iree.runtime
import jax
import numpy as np
import pytest

from tandem_export.bundle import Bundle, GraphRecord
from tandem_export.contract import ROLES, AcceptanceRule
from tandem_export.runtime.executors.jax import read_export
from tests.engines.steps import TOLERANCE
from tests.onnx_bundles import shared_bundle


@cache
def bundle() -> Bundle:
    """Every role of a tiny pair, for two platforms."""
    return shared_bundle("tandem", "stablehlo", platforms=("cpu", "tpu"), roles=ROLES, max_new=8)


@cache
def compiled(name: str, *options: str) -> bytes:
    """What IREE makes of a graph for its own CPU backend."""
    made = iree.compiler.compile_str(
        bundle().graph_bytes(name, "stablehlo/cpu"),
        input_type="stablehlo",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=generic", *options],
    )
    assert made is not None
    return made


def test_every_graph_is_taken_in() -> None:
    graphs = bundle().manifest.graphs
    assert {graph.role for graph in graphs} == set(ROLES)
    for graph in graphs:
        assert graph.custom_calls["stablehlo/cpu"] == ()
        assert compiled(graph.name, "--compile-to=input"), graph.name


def test_only_rounds_on_a_tpu_have_memory_that_is_not_filled() -> None:
    with_calls = {g.role for g in bundle().manifest.graphs if g.custom_calls["stablehlo/tpu"]}
    assert with_calls == {"round", "round_router", "generate"}
    calls = {own for g in bundle().manifest.graphs for own in g.custom_calls["stablehlo/tpu"]}
    assert calls == {"AllocateBuffer"}


# Sampling inputs of the two kinds of rounds; the rest of the inputs is drawn.
GREEDY = {"temperature": np.zeros(2, np.float32)}
SAMPLED = {
    "temperature": np.array([0.7, 1.3], np.float32),
    "top_k": np.array([0, 9], np.int32),
    "top_p": np.array([0.9, 1.0], np.float32),
    "min_p": np.array([0.0, 0.01], np.float32),
    "rule": np.array([AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL], np.int32),
}
NAMES = (
    *("prefill_b1_t4", "insert_b2", "primary_block_b2_t1", "primary_block_b2_t3"),
    *("drafter_step_b2_t1", "router_b2"),
)
ROUNDS = ("round_b2_g0", "round_b2_g2", "round_router_b2_g2", "generate_b2_s4")


def draw(graph: GraphRecord, fixed: dict[str, np.ndarray]) -> tuple[dict[str, Any], ...]:
    """The bundle's weights; random caches, tokens and places; inputs that are not `fixed`."""
    rng, weights = np.random.default_rng(0), bundle().weights()

    def value(spec: Any) -> np.ndarray:
        if spec.name in fixed:
            return fixed[spec.name]
        if spec.dtype == "float32":
            return rng.normal(size=spec.shape).astype(np.float32)
        return rng.integers(1, 5, spec.shape, spec.dtype)

    params = {spec.name: np.array(weights[spec.name]) for spec in graph.params}
    return params, *({s.name: value(s) for s in part} for part in (graph.state, graph.inputs))


CASES = [(name, {}) for name in NAMES] + [(n, f) for n in ROUNDS for f in (GREEDY, SAMPLED)]


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_values_are_those_of_jax(name: str, fixed: dict[str, np.ndarray]) -> None:
    """Every output and the state after the call.

    Under IREE's other driver, `local-task`, 3.13 ends a graph with a loop in "transient buffer has
    not been committed", whether or not anything is donated.
    """
    graph = bundle().graph(name)
    arguments = draw(graph, fixed)
    exported, _ = read_export(bundle(), graph)
    outputs, state = jax.device_get(exported.call(*arguments))
    module = iree.runtime.load_vm_flatbuffer(compiled(name), driver="local-sync")
    flat = [part[key] for part in arguments for key in sorted(part)]
    results: Any = module.main(*flat)
    results = results if isinstance(results, tuple | list) else [results]
    wanted = [(key, part[key]) for part in (outputs, state) for key in sorted(part)]
    for (key, want), got in zip(wanted, results, strict=True):
        atol = TOLERANCE if want.dtype == np.float32 else 0
        np.testing.assert_allclose(got.to_host(), want, atol=atol, rtol=0, err_msg=key)


def test_every_graph_is_compared() -> None:
    assert {name for name, _ in CASES} == {graph.name for graph in bundle().manifest.graphs}
