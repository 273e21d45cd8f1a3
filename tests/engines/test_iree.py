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
from tandem_export.contract import ROLES
from tandem_export.runtime.executors.jax import read_export
from tests.engines.steps import TOLERANCE
from tests.onnx_bundles import shared_bundle


@cache
def bundle() -> Bundle:
    """Every role of a tiny pair, for two platforms."""
    return shared_bundle("tandem", "stablehlo", platforms=("cpu", "tpu"), roles=ROLES, max_new=8)


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


def draw(graph: GraphRecord) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The bundle's weights; random caches, tokens and places."""
    rng, weights = np.random.default_rng(0), bundle().weights()

    def value(spec: Any) -> np.ndarray:
        if spec.dtype == "int32":
            return rng.integers(1, 9, spec.shape, np.int32)
        return rng.normal(size=spec.shape).astype(spec.dtype)

    params = {spec.name: np.array(weights[spec.name]) for spec in graph.params}
    state, inputs = ({s.name: value(s) for s in part} for part in (graph.state, graph.inputs))
    return params, state, inputs


@pytest.mark.parametrize("name", ["primary_block_b2_t3", "drafter_step_b2_t1"])
def test_values_are_those_of_jax(name: str) -> None:
    graph = bundle().graph(name)
    arguments = draw(graph)
    exported, _ = read_export(bundle(), graph)
    outputs, state = jax.device_get(exported.call(*arguments))
    module = iree.runtime.load_vm_flatbuffer(compiled(name), driver="local-sync")
    flat = [part[key] for part in arguments for key in sorted(part)]
    results: Any = module.main(*flat)
    wanted = [(key, part[key]) for part in (outputs, state) for key in sorted(part)]
    for (key, want), got in zip(wanted, results, strict=True):
        atol = TOLERANCE if want.dtype == np.float32 else 0
        np.testing.assert_allclose(got.to_host(), want, atol=atol, rtol=0, err_msg=key)
