"""int8 weights in ONNX: stored as in the other targets, multiplied in ONNX's own form."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import onnx
import pytest

from tandem_export.graphs import plan_rows
from tandem_export.model import quantize
from tandem_export.runtime.executors import make_executor
from tests.onnx_bundles import OPTIONS, shared_bundle
from tests.pairs import CONFIGS, checkpoint

CHANGES = {
    "quantize": "int8",
    "batch": (1,),
    "roles": ("prefill", "primary_block", "drafter_step"),
}


@pytest.fixture(scope="module")
def bundle():
    return shared_bundle("tandem", "onnx", **CHANGES)


def test_the_int8_tensors_are_those_of_the_other_targets(bundle):
    stored = bundle.weights()
    for part in ("primary", "drafter"):
        for name, tensor in quantize(checkpoint("tandem").params[part]).items():
            np.testing.assert_array_equal(stored[f"{part}.{name}"], tensor)


@pytest.mark.parametrize("role", ["primary_block", "drafter_step"])
def test_every_matrix_is_dequantized_in_its_product(bundle, role):
    graph = bundle.find(role, batch=1, width=1)
    model = onnx.load(bundle.path / graph.files["onnx"], load_external_data=False)
    int8 = {spec.name for spec in graph.params if spec.dtype == "int8"}
    wide = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    products = [n for n in model.graph.node if n.op_type == "Gemm"]
    read = {wide[n.input[1]] for n in products}
    tables = {"primary.embedding.weight"} if role == "primary_block" else set()
    assert int8 - read == tables, "a token table is only read row by row"
    widened = [n for n in model.graph.node if n.op_type == "Cast" and n.input[0] in int8]
    assert not widened


def test_the_graphs_agree_with_their_functions(bundle):
    assert all(graph.difference < 2e-5 for graph in bundle.manifest.graphs)


@pytest.mark.parametrize("executor", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("width", [1, 3])
def test_executors_do_not_round_activations(bundle, executor, width):
    """Both engines would by default."""
    inputs = {"tokens": np.full((1, width), 5, np.int32), "start": np.zeros(1, np.int32)}
    runner = make_executor(executor, bundle, batch=1, compilation_cache=None)
    got = runner.primary_block(**inputs)
    np.testing.assert_allclose(got, _in_jax(bundle, width, inputs), atol=2e-5)


def _in_jax(bundle, width, inputs):
    """The block's logits on empty caches, by the very function that was exported."""
    planned = plan_rows(CONFIGS["tandem"], dataclasses.replace(OPTIONS, **CHANGES))
    (graph,) = (g for g in planned if g.name == f"primary_block_b1_t{width}")
    weights = bundle.weights()
    params = {name: weights[name] for name in graph.params}
    state = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in graph.state.items()}
    return jax.jit(graph.function)(params, state, inputs)[0]["logits"]
