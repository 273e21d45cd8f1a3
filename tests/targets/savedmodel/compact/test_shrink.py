"""What is left of a SavedModel, and that everybody still loads it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tandem_export.bundle.weights import map_weights
from tandem_export.checkpoint import read_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.serving import LocalModel
from tandem_export.targets import SavedModelOptions, build
from tests.serving.bundles import every_role, local, model_folder
from tests.serving.calls import generating

# The size that the default grid of the demo pair may have, bytes.
LIMIT = 2_000_000


@cache
def functions() -> list[Any]:
    data = (model_folder(every_role()) / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    return list(graph.graph_def.library.function)


def test_a_compiled_step_is_reads_one_module_and_writes() -> None:
    steps = [f for f in functions() if any(n.op == "XlaCallModule" for n in f.node_def)]
    signatures = every_role().savedmodel.signatures
    assert len(steps) == len(signatures), "one a signature; serving_default shares its"
    for step in steps:
        nodes = {node.name: node for node in step.node_def}
        writes = sorted(n.name for n in nodes.values() if n.op == "AssignVariableOp")
        module = next(n for n in nodes.values() if n.op == "XlaCallModule")
        reads = {n.name for n in nodes.values() if n.op == "ReadVariableOp"}
        assert set(nodes) == {module.name, *writes, *reads}
        assert reads <= {value.split(":")[0] for value in module.input}
        assert sorted(step.control_ret.values()) == writes, "only they are run for their effect"


def test_no_function_only_hands_on_what_nobody_else_calls() -> None:
    """`serving_default` shares the function of another signature; each must have a wrapper."""
    called = Counter(name for f in functions() for name in calls(f))
    handing_on = [f for f in functions() if calls(f) and {n.op for n in f.node_def} <= HANDING_ON]
    assert handing_on, "those of serving_default"
    for function in handing_on:
        (inner,) = calls(function)
        assert called[inner] == 2, function.signature.name


HANDING_ON = {"StatefulPartitionedCall", "Identity", "NoOp"}


def calls(function: Any) -> list[str]:
    return [v.func.name for n in function.node_def for v in n.attr.values() if v.func.name]


def test_functions_name_arguments_and_nodes_shortly() -> None:
    names = {one.name for f in functions() for one in (*f.signature.input_arg, *f.node_def)}
    assert max(map(len, names)) <= 4


def test_the_loader_of_tensorflow_2_gives_the_same_answers() -> None:
    inputs = generating([[3], [1, 2, 3, 4]], 4, 8)
    want = local("every").call("generate_b2_s4", inputs)
    loaded: Any = tf.saved_model.load(str(model_folder(every_role())))
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    got = loaded.signatures["generate_b2_s4"](**tensors)
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name].numpy(), value)
    owner = tf.constant([5], tf.int32)
    assert loaded.signatures["claim"](owner=owner)["slots"].numpy().tolist() == [0]
    assert loaded.signatures["claim"](owner=owner)["slots"].numpy().tolist() == [1]


@pytest.mark.slow
def test_the_default_grid_of_the_demo_pair_is_small(tmp_path) -> None:
    """Half a minute of tracing, or a whole one."""
    checkpoint, asked = read_checkpoint("demo:stdlib-mini"), SavedModelOptions(version=2)
    bundle = build(
        checkpoint,
        BuildOptions(),
        tmp_path / "demo",
        targets=("savedmodel",),
        check_values=False,
        target_options={"savedmodel": asked},
    )
    folder = model_folder(bundle)
    assert (folder / "saved_model.pb").stat().st_size < LIMIT
    used = {spec.name for graph in bundle.manifest.graphs for spec in graph.params}
    weights = map_weights(bundle.path / "weights.safetensors")
    size = sum(weights[name].nbytes for name in used)
    stored = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    assert size <= stored < 1.01 * size
    model = LocalModel(folder)
    assert {"generate_b4_s256", "round_router_b4_g8", "primary_block_b1_t9"} < set(model.signatures)
    prompt = np.zeros((1, 64), np.int32)
    inputs = generating([[7]], 64, 5, max_draft=np.array([8], np.int32)) | {"tokens": prompt}
    assert model.call("serving_default", inputs)["count"].tolist() == [5]
    model.close()
