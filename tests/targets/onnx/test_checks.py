"""Each way to spoil a model has its own error; the models are converted, then broken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tandem_export.bundle import locate_weights
from tandem_export.bundle.weights import write_weights
from tandem_export.graphs import Graph
from tandem_export.targets import (
    DtypeMismatchError,
    ExternalDataError,
    FileSizeError,
    InvalidModelError,
    NameMismatchError,
    OperatorError,
    ShapeMismatchError,
    ValueMismatchError,
)
from tandem_export.targets.onnx.checks import check_file
from tandem_export.targets.onnx.convert import convert
from tandem_export.targets.onnx.values import check_values
from tests.targets.toy import leaf

TABLE = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
WEIGHTS = {"primary.table": TABLE, "primary.weight": WEIGHT}


def step(params, state, inputs):
    """The mean of what was cached before `start`, and of the new rows, times the weight."""
    rows = params["primary.table"][inputs["tokens"]][:, None]
    cached = state["primary_v.00"]
    S = cached.shape[2]
    seen = jnp.arange(S, dtype=jnp.int32)[None, :] < inputs["start"][:, None]
    mean = jnp.sum(jnp.where(seen[:, None, :, None], cached, 0), 2) / S
    return {"logits": mean[:, 0] @ params["primary.weight"], "rows.primary_v.00": rows}, state


GRAPH = Graph(
    name="toy_b2_t1",
    role="primary_block",
    batch=2,
    width=1,
    parity="P1",
    function=step,
    params={name: leaf(value.shape) for name, value in WEIGHTS.items()},
    state={"primary_v.00": leaf((2, 1, 8, 3))},
    inputs={"tokens": leaf((2, 1), jnp.int32), "start": leaf((2,), jnp.int32)},
    outputs={"logits": leaf((2, 3)), "rows.primary_v.00": leaf((2, 1, 1, 3))},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "weights.safetensors"
    write_weights(path, WEIGHTS, "float32")
    return path


@pytest.fixture(scope="module")
def good(store) -> onnx.ModelProto:
    return convert(GRAPH, locate_weights(store))


@pytest.fixture
def model(good) -> onnx.ModelProto:
    """A copy to spoil."""
    copy = onnx.ModelProto()
    copy.CopyFrom(good)
    return copy


def saved(model: onnx.ModelProto, store: Path) -> Path:
    path = store.with_name("toy.onnx")
    path.write_bytes(model.SerializeToString())
    return path


def test_what_the_converter_makes_passes_and_agrees(model, store):
    path = saved(model, store)
    check_file(path, GRAPH, locate_weights(store))
    assert check_values(path, GRAPH, WEIGHTS) < 1e-6


def rename(model, old: str, new: str):
    """Another name for what the nodes read."""
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = new if name == old else name


def rename_input(model):
    cache = next(value for value in model.graph.input if value.name == "primary_v.00")
    cache.name = "other"
    rename(model, "primary_v.00", "other")


def drop_output(model):
    del model.graph.output[0]


def widen_output(model):
    model.graph.output[0].type.tensor_type.shape.dim[0].ClearField("dim_value")


def integer_input(model):
    start = next(value for value in model.graph.input if value.name == "start")
    start.type.tensor_type.elem_type = TensorProto.INT64
    cast = helper.make_node("Cast", ["start"], ["narrow"], to=TensorProto.INT32)
    rename(model, "start", "narrow")
    model.graph.node.insert(0, cast)


def shift_weight(model):
    tensor = next(t for t in model.graph.initializer if t.name == "primary.weight")
    entry = next(entry for entry in tensor.external_data if entry.key == "offset")
    entry.value = str(int(entry.value) + 4)


def inline_weight(model):
    tensor = next(t for t in model.graph.initializer if t.name == "primary.weight")
    tensor.CopyFrom(onnx.numpy_helper.from_array(WEIGHT, "primary.weight"))


def strange_operator(model):
    name = model.graph.output[0].name
    last = next(node for node in model.graph.node if name in node.output)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Erf", ["before"], [name]))


def cycle(model):
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def bulk(model):
    array = np.zeros(300_000, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, "spare"))


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (rename_input, NameMismatchError, "inputs must be"),
        (drop_output, NameMismatchError, "outputs must be"),
        (widen_output, ShapeMismatchError, r"output 'logits'|outputs 'logits'"),
        (integer_input, DtypeMismatchError, r"'start' must have dtype int32. Got: int64"),
        (shift_weight, ExternalDataError, r"weight 'primary.weight' must be \(3, 3\) float32 at"),
        (inline_weight, NameMismatchError, "external tensors must be the parameters"),
        (strange_operator, OperatorError, r"Got: \[\('', 'E"),
        (cycle, InvalidModelError, "not a valid ONNX model"),
        (bulk, FileSizeError, "at most 1000000 bytes"),
    ],
    ids=lambda value: value.__name__ if callable(value) and not isinstance(value, type) else None,
)
def test_each_fault_has_its_error(model, store, spoil, error, text):
    spoil(model)
    with pytest.raises(error, match=text):
        check_file(saved(model, store), GRAPH, locate_weights(store))


def reads_past_start(params, state, inputs):
    made, state = step(params, state, inputs)
    return made | {"logits": made["logits"] + state["primary_v.00"][:, 0, -1]}, state


def one_more(params, state, inputs):
    made, state = step(params, state, inputs)
    return made | {"logits": made["logits"] + 1}, state


def test_other_values_are_found(good, store):
    other = dataclasses.replace(GRAPH, function=one_more)
    with pytest.raises(ValueMismatchError, match=r"must be within .* Got: largest difference"):
        check_values(saved(good, store), other, WEIGHTS)
    leaky = dataclasses.replace(GRAPH, function=reads_past_start)
    with pytest.raises(ValueMismatchError, match="must be finite, and small, on caches"):
        check_values(saved(good, store), leaky, WEIGHTS)


def test_a_graph_that_reads_unused_rows_fails_its_own_check(store, tmp_path):
    """Both sides read the same poison, so only its size gives it away."""
    leaky = dataclasses.replace(GRAPH, function=reads_nan)
    leaky = dataclasses.replace(leaky, state=leaky.state | {"primary_k.00": leaf((2, 1, 8, 3))})
    path = saved(convert(leaky, locate_weights(store)), store)
    with pytest.raises(ValueMismatchError, match="must be finite, and small, on caches"):
        check_values(path, leaky, WEIGHTS)


def reads_nan(params, state, inputs):
    made, state = step(params, state, inputs)
    return made | {"logits": made["logits"] + jnp.sum(state["primary_k.00"], (1, 2))}, state
