from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.bundle import BundleWriter, TensorSpec, open_bundle
from tandem_export.bundle.vetting import read_module
from tandem_export.errors import ExportError
from tandem_export.graphs import BuildOptions, plan_graphs
from tandem_export.targets import (
    DtypeMismatchError,
    NameMismatchError,
    SerializationError,
    ShapeMismatchError,
    UnusedParameterError,
    ValueMismatchError,
    build_stablehlo,
    export_graph,
)
from tandem_export.targets.stablehlo.build import stablehlo_version
from tests.bundle import sample
from tests.targets.toy import TOY, context, leaf, step, with_function, with_state
from tests.tiny import TANDEM

ARGUMENTS = (
    {"primary.table": np.arange(15, dtype=np.float32).reshape(5, 3)},
    {"cache": np.zeros((2, 8, 3), np.float32), "position": np.array([4, 4], np.int32)},
    {"tokens": np.array([1, 3], np.int32)},
)


def call(serialized: bytes):
    return jax.jit(export.deserialize(bytearray(serialized)).call, donate_argnums=(1,))


def test_an_export_computes_what_its_function_does():
    made = export_graph(TOY, "cpu")
    outputs, state = call(made.artifact.jax_export)(*ARGUMENTS)
    # Hand-worked: rows 1 and 3 of the table, alone in a zero cache, times 1.5.
    np.testing.assert_array_equal(outputs["sum"], [[4.5, 6.0, 7.5], [13.5, 15.0, 16.5]])
    np.testing.assert_array_equal(state["position"], [5, 5])
    np.testing.assert_array_equal(state["cache"][:, 4], [[3, 4, 5], [9, 10, 11]])
    assert made.record.difference == 0.0


def test_the_record_lists_arguments_in_order():
    record = export_graph(TOY, "cpu").record
    assert record.params == (TensorSpec(name="primary.table", shape=(5, 3), dtype="float32"),)
    assert [spec.name for spec in record.state] == ["cache", "position"]
    assert record.inputs == (TensorSpec(name="tokens", shape=(2,), dtype="int32"),)
    assert record.outputs == (TensorSpec(name="sum", shape=(2, 3), dtype="float32"),)
    assert (record.calling_convention_version or 0) >= 9


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_the_module_takes_the_arguments_in_order_and_nothing_else(platform):
    module = read_module(export_graph(TOY, platform).artifact.stablehlo)
    table, cache, position, tokens = module.arguments
    assert (table, tokens) == (((5, 3), "float32"), ((2,), "int32"))
    assert module.results == (((2, 3), "float32"), cache, position)


def test_the_call_frees_every_state_array():
    state = {name: jnp.asarray(value) for name, value in ARGUMENTS[1].items()}
    call(export_graph(TOY, "cpu").artifact.jax_export)(ARGUMENTS[0], state, ARGUMENTS[2])
    assert all(value.is_deleted() for value in state.values())


def test_state_and_inputs_that_are_not_read_stay_arguments():
    def function(params, state, inputs):
        return {}, state | {"cache": state["cache"] + params["primary.table"][0, 0]}

    made = export_graph(with_function(function, outputs={}), "cpu")
    exported = export.deserialize(bytearray(made.artifact.jax_export))
    assert exported.module_kept_var_idx == (0, 1, 2, 3)
    assert [spec.name for spec in made.record.inputs] == ["tokens"]


def test_a_graph_without_state_or_outputs_is_exported():
    def function(params, state, inputs):
        return {"twice": inputs["x"] * 2}, {}

    shapes = {"inputs": {"x": leaf((3,))}, "outputs": {"twice": leaf((3,))}}
    graph = with_function(function, params={}, state={}, **shapes)
    assert export_graph(graph, "cpu").record.difference == 0.0
    empty = with_function(lambda p, s, i: ({}, step(p, s, i)[1]), outputs={})
    assert export_graph(empty, "cpu").record.outputs == ()


def test_values_are_not_compared_without_a_platform_to_run_on():
    assert export_graph(TOY, "tpu").record.difference is None


def test_values_need_not_be_compared():
    assert export_graph(with_function(nan), "cpu", check_values=False).record.difference is None


def not_a_pair(params, state, inputs):
    return step(params, state, inputs)[1]


def nested(params, state, inputs):
    outputs, after = step(params, state, inputs)
    return {"deep": outputs}, after


def nan(params, state, inputs):
    outputs, after = step(params, state, inputs)
    return {"sum": outputs["sum"] * jnp.nan}, after


def refuses(params, state, inputs):
    raise TypeError("no such operation")


def through_python(params, state, inputs):
    outputs, after = step(params, state, inputs)
    like = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    return {"sum": jax.pure_callback(lambda x: x, like, outputs["sum"])}, after


UNUSED = dataclasses.replace(TOY, params=TOY.params | {"router.bias": leaf((1,))})


@pytest.mark.parametrize(
    ("graph", "error", "text"),
    [
        (UNUSED, UnusedParameterError, r"toy_b2_t1: `params` must list only .* \['router.bias'\]"),
        (
            with_state(cache=None),
            NameMismatchError,
            r"returned state must be \['cache', 'position'\]\. Got: \['position'\]",
        ),
        (with_state(more=lambda s: s["cache"]), NameMismatchError, r"Got: .*'more'"),
        (
            dataclasses.replace(TOY, outputs={"sums": leaf((2, 3))}),
            NameMismatchError,
            r"outputs must be \['sums'\]\. Got: \['sum'\]",
        ),
        (with_function(not_a_pair), NameMismatchError, r"must return `\(outputs, state\)`"),
        (with_function(nested), NameMismatchError, "outputs must be a flat dict"),
        (
            with_state(cache=lambda s: s["cache"][:, 1:]),
            ShapeMismatchError,
            r"returned state 'cache' must have shape \(2, 8, 3\)\. Got: \(2, 7, 3\)",
        ),
        (
            with_state(position=lambda s: s["position"].astype(jnp.float32)),
            DtypeMismatchError,
            r"returned state 'position' must have dtype int32\. Got: float32",
        ),
        (with_function(nan), ValueMismatchError, r"output 'sum' must be free of NaN"),
        (with_function(refuses), SerializationError, "cannot be exported: no such operation"),
        (with_function(through_python), SerializationError, "cannot be exported"),
    ],
    ids=[
        "unused-parameter",
        "state-dropped",
        "state-added",
        "output-renamed",
        "no-pair",
        "nested-outputs",
        "state-shape",
        "state-dtype",
        "nan",
        "tracing-fails",
        "host-callback",
    ],
)
def test_a_broken_graph_is_refused(graph, error, text):
    with pytest.raises(error, match=text) as caught:
        export_graph(graph, "cpu")
    assert isinstance(caught.value, ExportError)


def test_a_function_that_changes_between_traces_is_caught():
    traces = []

    def function(params, state, inputs):
        traces.append(None)
        outputs, after = step(params, state, inputs)
        return {"sum": outputs["sum"] + 0.25 * len(traces)}, after

    text = (
        r"^toy_b2_t1: output 'sum' must be within \S+e-0[56] of the traced function, 16 times what "
        r"rounding changes there\. Got: largest difference 0\.25\. The export computes something "
        r"else than the model, whatever its weights\. Build with the versions in requirements/; if "
        r"that fails too, report this text with the checkpoint's tandem\.json\.$"
    )
    with pytest.raises(ValueMismatchError, match=text):
        export_graph(with_function(function), "cpu")


@pytest.mark.parametrize("data", [b"", b"MLIR text", b"ML\xefR\rSomethingElse\0"])
def test_only_portable_artifacts_have_a_version(data):
    with pytest.raises(SerializationError, match="portable artifact"):
        stablehlo_version(data)


def test_build_writes_both_forms_and_reports_progress(tmp_path):
    second = dataclasses.replace(TOY, name="toy_again")
    seen = []
    with BundleWriter(tmp_path / "b") as writer:
        table = np.zeros(TOY.params["primary.table"].shape, np.float32)
        writer.add_weights(sample.WEIGHTS | {"primary.table": table}, "float32")
        writer.add_file("tokenizer.json", b"{}")
        build_stablehlo(context([TOY, second], writer, lambda *step: seen.append(step)))
        writer.commit(sample.manifest())
    bundle = open_bundle(tmp_path / "b")
    assert bundle.graph("toy_again").platforms == ("cpu", "tpu")
    assert seen == [(1, 2, "toy_b2_t1"), (2, 2, "toy_again")]
    outputs, _ = call(bundle.graph_bytes("toy_again", "jax_export/cpu"))(*ARGUMENTS)
    np.testing.assert_array_equal(outputs["sum"][0], [4.5, 6.0, 7.5])
    module = bundle.graph_bytes("toy_again", "stablehlo/tpu")
    assert stablehlo_version(module) == bundle.graph("toy_again").stablehlo_version


def test_the_portable_module_does_not_depend_on_jax_metadata(tmp_path):
    """Any StableHLO consumer can read it: here libStablehlo's own reader."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    made = export_graph(TOY, "cpu")
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        text = str(stablehlo.deserialize_portable_artifact(context, made.artifact.stablehlo))
    assert "stablehlo.dynamic_update_slice" in text
    assert "@jit_toy_b2_t1" in text


def test_where_the_package_lies_is_not_in_the_graphs():
    graph = plan_graphs(TANDEM, BuildOptions(roles=("drafter_step",)))[0]
    made = export_graph(graph, "cpu", check_values=False)
    for module in (made.artifact.stablehlo, made.artifact.jax_export):
        files = set(re.findall(rb"[\w./-]+\.py", module))
        assert b"tandem_export/model/layers.py" in files
        assert not [name for name in files if not name.startswith(b"tandem_export/")]
