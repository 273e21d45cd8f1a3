"""A function of jax as an ONNX model, run by every engine beside jax itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator

from tandem_export.targets.onnx.lower import lower
from tandem_export.targets.onnx.operators import IR_VERSION, OPSET

ORIGIN = "toy (role primary_block)"


def lowered(function: Callable[..., Any], *arrays: Any) -> ModelProto:
    """Inputs `x0, x1, ...`, outputs `y0, y1, ...`; checked with shape inference."""
    closed = jax.make_jaxpr(function)(*arrays)
    inputs = [f"x{i}" for i in range(len(closed.in_avals))]
    outputs = [f"y{i}" for i in range(len(closed.out_avals))]
    graph = lower(closed, "toy", inputs, outputs, origin=ORIGIN)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def check(function: Callable[..., Any], *arrays: np.ndarray, atol: float = 2e-6) -> ModelProto:
    """Compares ONNX Runtime and the reference evaluator with jax; returns the model."""
    model = lowered(function, *arrays)
    want = [np.asarray(leaf) for leaf in jax.tree.leaves(function(*map(jnp.asarray, arrays)))]
    given = {f"x{i}": array for i, array in enumerate(arrays)}
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for got in (session.run(None, given), ReferenceEvaluator(model).run(None, given)):
        for one, other in zip(got, want, strict=True):
            assert isinstance(one, np.ndarray)
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(one, other, rtol=atol, atol=atol)
    return model


def operators(model: ModelProto) -> Counter[str]:
    """How many nodes of each operator."""
    return Counter(node.op_type for node in model.graph.node)
