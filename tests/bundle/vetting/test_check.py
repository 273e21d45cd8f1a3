"""What StableHLO and ONNX graphs may do, by role and platform."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import onnx
import pytest
from jax import export
from onnx import TensorProto, helper

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.bundle.vetting import check_graph
from tandem_export.bundle.vetting.allowed import ONNX, STABLEHLO
from tandem_export.contract import ROLES
from tandem_export.errors import BundleError
from tests.bundle import sample

FLOATS = jax.ShapeDtypeStruct((2, 3), jnp.float32)
TARGETS = ("xla_ffi_python_cpu_callback", "lapack_spotrf_ffi", "no_such_target")


def record(role: str = "round", **changes: Any) -> GraphRecord:
    """The record of a graph from one array `[2, 3]` to another."""
    spec = TensorSpec(name="x", shape=(2, 3), dtype="float32")
    own = dataclasses.replace(
        sample.record("g", role, 1, None, None),
        params=(),
        state=(),
        inputs=(spec,),
        outputs=(spec,),
    )
    return dataclasses.replace(own, **changes)


def module(function: Callable[[Any], Any], platform: str = "cpu") -> bytes:
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in TARGETS]
    exported = export.export(jax.jit(function), platforms=[platform], disabled_checks=checks)
    return exported(FLOATS).mlir_module_serialized


def looped(x):
    return jax.lax.while_loop(lambda y: jnp.any(y < 0), lambda y: y + 1, x)


def unfilled(x):
    return x + jax.lax.empty((2, 3), x.dtype)


def calling(target: str) -> Callable[[Any], Any]:
    return lambda x: jax.ffi.ffi_call(target, FLOATS)(x)


def test_every_role_has_a_list() -> None:
    assert set(STABLEHLO) == set(ROLES)


def test_operations_that_compute_are_allowed() -> None:
    check_graph(record("insert"), "stablehlo/cpu", module(lambda x: jnp.sin(x) @ x.T @ x))
    check_graph(record("round"), "stablehlo/cpu", module(looped))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("declared", [False, True], ids=["hidden", "declared"])
def test_a_call_out_of_the_graph_is_refused(target: str, declared: bool) -> None:
    calls = {"stablehlo/cpu": (target,)} if declared else {}
    text = rf"'g' \(stablehlo/cpu\): custom calls of `round` on cpu .* \[\]\. Got: \['{target}'\]"
    with pytest.raises(BundleError, match=text):
        check_graph(record(custom_calls=calls), "stablehlo/cpu", module(calling(target)))


CALLS = {"stablehlo/tpu": ("AllocateBuffer",)}


def test_unfilled_memory_is_for_rounds_on_accelerators_and_must_be_declared() -> None:
    data = module(unfilled, "tpu")
    check_graph(record("round", custom_calls=CALLS), "stablehlo/tpu", data)
    with pytest.raises(BundleError, match=r"those of the manifest, \[\]. Got: \['AllocateBuffer'"):
        check_graph(record("round"), "stablehlo/tpu", data)
    with pytest.raises(BundleError, match="custom calls of `insert` on tpu must be among"):
        check_graph(record("insert", custom_calls=CALLS), "stablehlo/tpu", data)
    with pytest.raises(BundleError, match="custom calls of `round` on cpu must be among"):
        check_graph(record("round", custom_calls=CALLS), "stablehlo/cpu", data)


@pytest.mark.parametrize(
    ("role", "function", "what"),
    [
        ("insert", looped, "'while'"),
        ("primary_block", lambda x: jnp.sort(x), "'sort'"),
        ("round", lambda x: jax.lax.rng_uniform(0.0, 1.0, (2, 3)) + x, "'rng'"),
        ("round", lambda x: jnp.fft.fft(x).real, "'fft'"),
    ],
    ids=["loop", "sort", "random", "fft"],
)
def test_operations_that_a_role_does_not_need_are_refused(role, function, what) -> None:
    with pytest.raises(BundleError, match=rf"operations of `{role}` on cpu .* Got: \[.*{what}"):
        check_graph(record(role), "stablehlo/cpu", module(function))


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(BundleError, match=r"`role` must be one of \['drafter_step'.* Got: 'shell'"):
        check_graph(record("shell"), "stablehlo/cpu", module(jnp.sin))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": ()}, "must have the 0 arguments of the manifest. Got: 1"),
        (
            {"outputs": (TensorSpec(name="x", shape=(3, 2), dtype="float32"),)},
            r"must have the 1 results .* number 0: .*\(2, 3\).* in place of .*\(3, 2\)",
        ),
    ],
    ids=["arguments", "results"],
)
def test_another_graph_under_this_name_is_refused(changes: Mapping[str, Any], text: str) -> None:
    with pytest.raises(BundleError, match=text):
        check_graph(record(**changes), "stablehlo/cpu", module(jnp.sin))


def model(nodes: list[Any], *, tensors: tuple[Any, ...] = (), functions: Any = ()) -> bytes:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes, "g", [], [value], list(tensors))
    return helper.make_model(graph, functions=functions).SerializeToString()


def external(location: str) -> Any:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], b"\0" * 8, raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


ADD = helper.make_node("Add", ["w", "w"], ["y"])
INSIDE = helper.make_graph([ADD], "inside", [], [])


def test_onnx_operators_over_the_weight_file_are_allowed() -> None:
    check_graph(record(), "onnx", model([ADD], tensors=(external("weights.safetensors"),)))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            model([ADD], tensors=(external("../other"),)),
            r"in 'weights\.safetensors'.* '\.\./other'",
        ),
        (
            model([helper.make_node("Constant", [], ["y"], value=external("/etc/passwd"))]),
            "Got: '/etc/passwd'",
        ),
        (model([helper.make_node("Shell", ["w"], ["y"], domain="evil")]), "Got: 'evil.Shell'"),
        (model([helper.make_node("Loop", ["w"], ["y"], body=INSIDE)]), "Got: 'Loop'"),
        (model([helper.make_node("Add", ["w"], ["y"], hidden=INSIDE)]), "must hold no graph"),
        (
            model(
                [ADD],
                functions=[
                    helper.make_function("", "Add", [], ["y"], [ADD], [helper.make_opsetid("", 23)])
                ],
            ),
            "must define no functions",
        ),
        (b"\xff", "bytes must follow"),
    ],
    ids=["path", "path-in-node", "domain", "loop", "graph-in-node", "function", "no-model"],
)
def test_onnx_models_that_do_more_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(BundleError, match=text):
        check_graph(record(), "onnx", data)


def test_what_the_onnx_target_writes_is_allowed() -> None:
    from tandem_export.targets.onnx import operators

    assert operators.ALLOWED <= ONNX
    assert all(onnx.defs.has(name, operators.OPSET + 3) for name in ONNX)
