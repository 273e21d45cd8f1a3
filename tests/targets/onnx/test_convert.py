"""Every model family converts within the allow-list, with the values of its function."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.bundle import locate_weights
from tandem_export.bundle.weights import map_weights, write_weights
from tandem_export.errors import ExportError
from tandem_export.graphs import BuildOptions, plan_rows
from tandem_export.targets import SerializationError
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


def test_what_cannot_be_converted_names_the_graph():
    def sort_of(params, state, inputs):
        cube = params["primary.weight"][None] @ params["primary.weight"][None]
        return {"logits": jnp.linalg.eigh(cube)[0], "rows.primary_v.00": cube}, state

    broken = dataclasses.replace(GRAPH, function=sort_of)
    with pytest.raises(SerializationError, match=r"toy_b2_t1: cannot be converted to ONNX"):
        convert(broken, {})
    assert issubclass(SerializationError, ExportError)
