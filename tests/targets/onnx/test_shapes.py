"""Which changes of shape go, which only look needless, and that no value changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tandem_export.targets.onnx.rewrite import drop_unused, merge_repeated
from tandem_export.targets.onnx.shapes import fold_shapes, plain_shapes

_MASK = [[True, False, True], [False, False, True]]


def constants(**values):
    dtypes = {bool: np.bool_, int: np.int64, float: np.float32}
    arrays = {n: np.asarray(v, dtypes[type(np.ravel(v)[0].item())]) for n, v in values.items()}
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def model_of(nodes: list[NodeProto], **values) -> ModelProto:
    """A model `x [2, 3] -> y` of any shape."""
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 3]) for n in "xy")
    graph = helper.make_graph(nodes, "toy", [x], [y], initializer=constants(**values))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    shape = output_of(model).shape
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(y)
    onnx.checker.check_model(model, full_check=True)
    return model


def output_of(model: ModelProto) -> np.ndarray:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    return ReferenceEvaluator(model).run(None, {"x": x})[0]  # pyright: ignore


def node(kind: str, *names: str, **attributes) -> NodeProto:
    return helper.make_node(kind, names[:-1], names[-1:], **attributes)


def around_a_sum(*target: int, axis: int = 1, kind: str = "ReduceSum"):
    """A reduction without its axis, and a Reshape to `target`."""
    nodes = [
        node(kind, "x", "axes", "sum", keepdims=0),
        node("Reshape", "sum", "target", "wide"),
        node("Mul", "x", "wide", "y"),
    ]
    return model_of(nodes, axes=[axis], target=target)


def around_a_where(mask, value):
    """`x [2, 3]` filled as `[2, 1, 3]`."""
    nodes = [
        node("Reshape", "x", "up", "split"),
        node("Where", "mask", "split", "value", "filled"),
        node("Reshape", "filled", "down", "joined"),
        node("Exp", "joined", "y"),
    ]
    return model_of(nodes, up=[2, 1, 3], down=[2, 3], mask=mask, value=value)


def chain(*targets: tuple[int, ...]):
    names = ["x", *(f"x{i}" for i in range(len(targets)))]
    shapes = {f"s{i}": list(target) for i, target in enumerate(targets)}
    steps = [
        node("Reshape", before, shape, after)
        for before, shape, after in zip(names, shapes, names[1:], strict=False)
    ]
    return model_of([*steps, node("Exp", names[-1], "y")], **shapes)


def to_an_output():
    """The output is the input under another name."""
    return model_of([node("Reshape", "x", "s", "y")], s=[2, 3])


def expanded(*target: int):
    """To a shape whose numbers are joined from two constants."""
    nodes = [
        node("Concat", "a", "b", "target", axis=0),
        node("Expand", "x", "target", "wide"),
        node("Exp", "wide", "y"),
    ]
    return model_of(nodes, a=target[:1], b=target[1:])


def wide(mask):
    return [[row] for row in mask]


CASES = {
    "a sum keeps its axis": (around_a_sum(2, 1), "ReduceSum Mul"),
    "a maximum keeps its axis": (around_a_sum(2, 1, kind="ReduceMax"), "ReduceMax Mul"),
    "the first axis": (around_a_sum(1, 3, axis=0), "ReduceSum Mul"),
    "the axis of a sum moves": (around_a_sum(2, 1, 1), "ReduceSum Reshape Mul"),
    "other reductions": (around_a_sum(2, 1, kind="ReduceMin"), "ReduceMin Reshape Mul"),
    "a mask": (around_a_where(wide(_MASK), -1.0), "Reshape Where Exp"),
    "a smaller mask": (around_a_where(_MASK[:1], -1.0), "Reshape Where Reshape Exp"),
    "many values": (around_a_where(wide(_MASK), [[[1.0, 2.0, 3.0]]]), "Reshape Where Reshape Exp"),
    "one of a chain": (chain((6,), (1, 6), (3, 2)), "Reshape Exp"),
    "there and back": (chain((6,), (2, 3)), "Exp"),
    "a size that is left open": (chain((6,), (3, -1)), "Reshape Exp"),
    "a size as before": (chain((3, 2), (0, 2, 1)), "Reshape Reshape Exp"),
    "an output keeps its name": (to_an_output(), "Reshape"),
    "no broadcast": (expanded(2, 3), "Exp"),
    "a broadcast": (expanded(4, 2, 3), "Expand Exp"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left(case):
    model, left = CASES[case]
    want = output_of(model)
    for step in (fold_shapes, merge_repeated, plain_shapes, merge_repeated, drop_unused):
        step(model)
    onnx.checker.check_model(model, full_check=True)
    assert Counter(n.op_type for n in model.graph.node) == Counter(left.split())
    np.testing.assert_array_equal(output_of(model), want)
