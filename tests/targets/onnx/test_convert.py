"""Every model family converts within the allow-list, with the values of its function."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from tandem_export.bundle import TensorPlace, locate_weights
from tandem_export.bundle.weights import map_weights, write_weights
from tandem_export.errors import ExportError
from tandem_export.graphs import BuildOptions, Graph, plan_rows
from tandem_export.targets import LoweringError
from tandem_export.targets.onnx import ALLOWED
from tandem_export.targets.onnx.checks import check_file
from tandem_export.targets.onnx.convert import convert
from tandem_export.targets.onnx.values import check_values
from tests.targets.onnx.test_checks import GRAPH
from tests.tiny import FAMILIES, TANDEM, alone, random_params

BLOCK = BuildOptions(batch=(2,), gamma=(2,), prompt=(4,), cache=16, roles=("primary_block",))


# One family shows what bfloat16 weights change.
CASES = [*((family, "float32") for family in FAMILIES), ("gemma3", "bfloat16")]


@pytest.mark.parametrize(("family", "dtype"), CASES)
def test_a_block_of_every_family(family, dtype, tmp_path):
    config = alone(FAMILIES[family])
    graph = plan_rows(config, dataclasses.replace(BLOCK, dtype=dtype))[-1]
    path = store_weights(config, dtype, tmp_path)
    model = tmp_path / f"{graph.name}.onnx"
    model.write_bytes(convert(graph, locate_weights(path)).SerializeToString())
    check_file(model, graph, locate_weights(path))
    assert check_values(model, graph, map_weights(path)) < 2e-5


def store_weights(config, dtype: str, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    own = random_params(config, "primary")
    tensors = {f"primary.{name}": np.asarray(value) for name, value in own.items()}
    write_weights(path, tensors, dtype)
    return path


def test_bfloat16_weights_stay_bfloat16_and_caches_are_float32():
    graph = plan_rows(TANDEM, dataclasses.replace(BLOCK, dtype="bfloat16"))[0]
    assert {leaf.dtype for leaf in graph.params.values()} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in graph.state.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_rotation_and_gelu_of_a_family_is_one_operator(family):
    config = alone(FAMILIES[family])
    used = Counter(node.op_type for node in converted(plan_rows(config, BLOCK)[-1]).graph.node)
    decoder = config.primary
    norms = 2 + 2 * decoder.post_norms + 2 * decoder.qk_norm
    assert used["RMSNormalization"] == decoder.num_layers * norms + 1, "and the final one"
    assert used["RotaryEmbedding"] == 2 * decoder.num_layers, "queries and keys"
    assert used["Gelu"] == (decoder.num_layers if decoder.activation == "gelu_tanh" else 0)
    local = {decoder.is_local(layer) for layer in range(decoder.num_layers)}
    angles = len(local) if decoder.rope.local_theta is not None else 1
    assert used["Cos"] == angles, "layers share them"
    biases = 3 * decoder.qkv_bias + decoder.output_bias + 3 * decoder.ff_bias
    block = converted(plan_rows(config, BLOCK)[-1])
    with_bias = [n for n in block.graph.node if n.op_type == "Gemm" and len(n.input) == 3]
    assert len(with_bias) == decoder.num_layers * biases


def converted(graph: Graph) -> onnx.ModelProto:
    """The graph over weights that lie nowhere."""
    return convert(
        graph,
        {
            name: TensorPlace(dtype=leaf.dtype, shape=leaf.shape, offset=0, length=1)
            for name, leaf in graph.params.items()
        },
    )


def test_equal_constants_and_steps_are_there_once():
    model = converted(plan_rows(alone(FAMILIES["llama"]), dataclasses.replace(BLOCK, cache=64))[-1])
    inline = [t for t in model.graph.initializer if not t.external_data]
    values = [onnx.numpy_helper.to_array(tensor) for tensor in inline]
    keys = {(value.dtype, value.shape, value.tobytes()) for value in values}
    assert len(keys) == len(values)
    assert max(value.nbytes for value in values) < 200, "no mask as a constant"
    steps = [(n.op_type, *n.input, *map(str, n.attribute)) for n in model.graph.node]
    assert len({*steps}) == len(steps)
    read = {name for node in model.graph.node for name in node.input}
    assert {t.name for t in model.graph.initializer} <= read


def test_a_token_table_is_read_before_its_rows_are_widened():
    """Else a step would cast every row of the table."""
    graph = plan_rows(alone(FAMILIES["gemma3"]), dataclasses.replace(BLOCK, dtype="bfloat16"))[0]
    (pick,) = (n for n in converted(graph).graph.node if n.op_type == "Gather")
    assert pick.input[0] == "primary.embedding.weight"


def test_the_operators_that_are_allowed_are_those_in_use():
    used = {"Identity"}  # of an output that is an input
    reduced = dataclasses.replace(TANDEM.drafter, vocab_size=9)
    pairs = [alone(family) for family in FAMILIES.values()]
    for config in (*pairs, TANDEM, dataclasses.replace(TANDEM, drafter=reduced)):
        for quantize in ("none", "int8"):
            options = BuildOptions(batch=(2,), gamma=(2,), prompt=(4,), cache=64, quantize=quantize)
            for graph in plan_rows(config, options):
                used |= {node.op_type for node in converted(graph).graph.node}
    assert used == ALLOWED


def test_what_has_no_form_names_the_operation_the_function_and_the_role():
    def sort_of(params, state, inputs):
        cube = params["primary.weight"][None] @ params["primary.weight"][None]
        return {"logits": jnp.linalg.eigh(cube)[0], "rows.primary_v.00": cube}, state

    broken = dataclasses.replace(GRAPH, function=sort_of)
    rule = r"toy_b2_t1 \(role primary_block\): operation `eigh` in eigh cannot be written as ONNX"
    with pytest.raises(LoweringError, match=rule):
        convert(broken, {})
    assert issubclass(LoweringError, ExportError)
