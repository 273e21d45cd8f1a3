"""The portable artifacts of a tiny pair: calls of every graph, and what jax makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import numpy as np

from tandem_export.bundle import Bundle, TensorSpec
from tandem_export.contract import ROLES, AcceptanceRule
from tandem_export.runtime.executors.jax import read_export
from tests.engines.steps import TOLERANCE
from tests.onnx_bundles import shared_bundle

FORM = "stablehlo/cpu"
Inputs = dict[str, np.ndarray]
# Sampling inputs of the two kinds of rounds; the other inputs are drawn.
GREEDY: Inputs = {"temperature": np.zeros(2, np.float32)}
SAMPLED: Inputs = {
    "temperature": np.array([0.7, 1.3], np.float32),
    "top_k": np.array([0, 9], np.int32),
    "top_p": np.array([0.9, 1.0], np.float32),
    "min_p": np.array([0.0, 0.01], np.float32),
    "rule": np.array([AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL], np.int32),
}
STEPS = (
    *("prefill_b1_t4", "insert_b2", "primary_block_b2_t1", "primary_block_b2_t3"),
    *("drafter_step_b2_t1", "router_b2"),
)
ROUNDS = ("round_b2_g0", "round_b2_g2", "round_router_b2_g2", "generate_b2_s4")
NAMES = STEPS + ROUNDS
CASES: list[tuple[str, Inputs]] = [(name, {}) for name in STEPS]
CASES += [(name, inputs) for name in ROUNDS for inputs in (GREEDY, SAMPLED)]


@cache
def bundle() -> Bundle:
    """Every role of a tiny pair, for two platforms."""
    return shared_bundle("tandem", "stablehlo", platforms=("cpu", "tpu"), roles=ROLES, max_new=8)


def arguments(name: str, fixed: Inputs) -> tuple[dict[str, Any], ...]:
    """The bundle's weights; random caches, tokens and places; inputs that are not `fixed`."""
    graph = bundle().graph(name)
    rng, weights = np.random.default_rng(0), bundle().weights()

    def value(spec: TensorSpec) -> np.ndarray:
        if spec.name in fixed:
            return fixed[spec.name]
        if spec.dtype == "float32":
            return rng.normal(size=spec.shape).astype(np.float32)
        return rng.integers(1, 5, spec.shape, np.dtype(spec.dtype))

    params = {spec.name: np.array(weights[spec.name]) for spec in graph.params}
    return params, *({s.name: value(s) for s in part} for part in (graph.state, graph.inputs))


def flat(parts: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    """In the order of `@main`."""
    return [part[key] for part in parts for key in sorted(part)]


def check_results(name: str, fixed: Inputs, results: Sequence[np.ndarray]) -> None:
    """Every output, and the state after the call, must be those of jax."""
    exported, _ = read_export(bundle(), bundle().graph(name))
    outputs, state = jax.device_get(exported.call(*arguments(name, fixed)))
    keys = [key for part in (outputs, state) for key in sorted(part)]
    for key, want, got in zip(keys, flat((outputs, state)), results, strict=True):
        atol = TOLERANCE if want.dtype == np.float32 else 0
        np.testing.assert_allclose(got, want, atol=atol, rtol=0, err_msg=f"{name}: {key}")
