"""What becomes one operator, and what only looks like it and does not."""

from __future__ import annotations

import dataclasses
from collections import Counter

import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from tandem_export.bundle import locate_weights
from tandem_export.bundle.weights import map_weights, write_weights
from tandem_export.graphs import plan_rows
from tandem_export.targets.onnx.convert import convert
from tandem_export.targets.onnx.values import check_values
from tests.targets.onnx.test_checks import GRAPH, WEIGHTS
from tests.targets.onnx.test_convert import BLOCK, store_weights
from tests.tiny import FAMILIES, alone


@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_rotation_and_gelu_of_a_family(family, tmp_path):
    config = alone(FAMILIES[family])
    graph = plan_rows(config, BLOCK)[-1]
    model = convert(graph, locate_weights(store_weights(config, "float32", tmp_path)))
    used = Counter(node.op_type for node in model.graph.node)
    decoder = config.primary
    norms = 2 + 2 * decoder.post_norms + 2 * decoder.qk_norm
    assert used["RMSNormalization"] == decoder.num_layers * norms + 1, "and the final one"
    assert used["RotaryEmbedding"] == 2 * decoder.num_layers, "queries and keys"
    assert used["Gelu"] == (decoder.num_layers if decoder.activation == "gelu_tanh" else 0)
    local = {decoder.is_local(layer) for layer in range(decoder.num_layers)}
    angles = len(local) if decoder.rope.local_theta is not None else 1
    assert used["Cos"] == angles, "layers share them"


def norm(x, gain, *, of=None, size=3, over=1.0):
    """An RMSNorm if nothing is given."""
    of = x if of is None else of
    mean = jnp.sum(of * of, -1, keepdims=True) / size
    return x * (over / jnp.sqrt(mean + 1e-6)) * gain[None]


def norm_of_another(x, gain):
    """The root of another array's mean square."""
    return norm(x, gain, of=x + 1)


def norm_by_another_size(x, gain):
    """No mean."""
    return norm(x, gain, size=4)


def norm_times_two(x, gain):
    """Two over the root."""
    return norm(x, gain, over=2.0)


def norm_with_a_gain_a_row(x, gain):
    """As many rows as columns, and a gain for each row."""
    square = jnp.concatenate([x, x[:1]])
    mean = jnp.sum(square * square, -1, keepdims=True) / 3
    return (square * (1 / jnp.sqrt(mean + 1e-6)) * gain[:, None])[:2]


def gelu_of_squares(x, gain):
    """A square for the cube."""
    del gain
    return x * (0.5 * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**2))))


def nearly_a_gelu(x, gain):
    """0.05 for 0.044715."""
    del gain
    return x * (0.5 * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.05 * x**3))))


def rotation(x, gain, *, turn=(jnp.cos, jnp.sin), other_angle=0.0, start=0):
    """A rotation if nothing is given."""
    both = jnp.concatenate([x[:, :2], x[:, 1:]], -1)[:, None, None]  # [2, 1, 1, 4]
    first, second = both[..., start : start + 2], both[..., 2:]
    angle = gain[None, None, None, :2] * jnp.ones((2, 1, 1, 1))
    cos, sin = turn[0](angle), turn[1](angle + other_angle if other_angle else angle)
    low, high = first * cos - second * sin, second * cos + first * sin
    return jnp.concatenate([low, high], -1)[:, 0, 0, :3]


def rotation_of_what_overlaps(x, gain):
    """The first part is no half."""
    return rotation(x, gain, start=1)


def rotation_of_two_angles(x, gain):
    """Cosine and sine of different angles."""
    return rotation(x, gain, other_angle=1.0)


def rotation_of_two_cosines(x, gain):
    """No sine."""
    return rotation(x, gain, turn=(jnp.cos, jnp.cos))


NEARLY = (
    norm_of_another,
    norm_by_another_size,
    norm_times_two,
    norm_with_a_gain_a_row,
    gelu_of_squares,
    nearly_a_gelu,
    rotation_of_what_overlaps,
    rotation_of_two_angles,
    rotation_of_two_cosines,
)


REAL = {norm: "RMSNormalization", rotation: "RotaryEmbedding"}


@pytest.mark.parametrize("function", [*REAL, *NEARLY])
def test_what_only_looks_like_it_keeps_its_value(function, tmp_path):
    def step(params, state, inputs):
        made, state = GRAPH.function(params, state, inputs)
        return made | {"logits": function(made["logits"], params["primary.weight"][0])}, state

    graph = dataclasses.replace(GRAPH, function=step)
    path = tmp_path / "weights.safetensors"
    write_weights(path, WEIGHTS, "float32")
    file, model = tmp_path / "toy.onnx", convert(graph, locate_weights(path))
    onnx.save(model, file)
    fused = {"RMSNormalization", "RotaryEmbedding", "Gelu"} & {n.op_type for n in model.graph.node}
    assert fused == ({REAL[function]} if function in REAL else set())
    assert check_values(file, graph, map_weights(path)) < 1e-5


def test_equal_constants_and_steps_are_there_once(tmp_path):
    config = alone(FAMILIES["llama"])
    graph = plan_rows(config, dataclasses.replace(BLOCK, cache=64))[-1]
    model = convert(graph, locate_weights(store_weights(config, "float32", tmp_path)))
    inline = [t for t in model.graph.initializer if not t.external_data]
    values = [onnx.numpy_helper.to_array(tensor) for tensor in inline]
    keys = {(value.dtype, value.shape, value.tobytes()) for value in values}
    assert len(keys) == len(values)
    assert max(value.nbytes for value in values) < 200, "no mask as a constant"
    read = {name for node in model.graph.node for name in node.input}
    assert {t.name for t in model.graph.initializer} <= read
