"""Fewer changes of shape: engines pay for each step of a graph, in time and in memory.

The converter reshapes where the traced function does, and once more around each reduction, each
broadcast and each fused operator. Of a chain one is enough, and many lead back to where they began.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference

from tandem_export.targets.onnx.pattern import Pattern
from tandem_export.targets.onnx.rewrite import replace_all

_REDUCTIONS = ("ReduceMax", "ReduceSum")


def fold_shapes(model: ModelProto) -> None:
    """Shapes that are joined from constants become constants, in place; then all are known."""
    graph, kept = Pattern(model), []
    for node in model.graph.node:
        parts = [part for name in node.input if (part := graph.constant(name)) is not None]
        if node.op_type == "Concat" and len(parts) == len(node.input):
            whole = numpy_helper.from_array(np.concatenate(parts), node.output[0])
            model.graph.initializer.append(whole)
        else:
            kept.append(node)
    replace_all(model.graph.node, kept)
    _note_shapes(model)


def plain_shapes(model: ModelProto) -> None:
    """Takes out what changes no shape, or changes it twice, in place. Values stay bit for bit.

    What is then read by nobody is left.
    """
    _note_shapes(model)
    graph, same = Pattern(model), {}
    results = {output.name for output in model.graph.output}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        node.input[:] = [same.get(value, value) for value in node.input]
        made = _shorter(graph, node)
        graph.add(made)
        (last,) = made[-1].output if len(made[-1].output) == 1 else ("",)
        if last not in results and _changes_nothing(graph, made[-1]):
            same[last] = made.pop().input[0]
        nodes += made
    replace_all(model.graph.node, nodes)


def _note_shapes(model: ModelProto) -> None:
    del model.graph.value_info[:]
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    model.graph.value_info.extend(inferred.graph.value_info)


def _changes_nothing(graph: Pattern, node: NodeProto) -> bool:
    if node.op_type not in ("Reshape", "Expand"):
        return False
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    return bool(after) and 0 not in after and before == after


def _shorter(graph: Pattern, node: NodeProto) -> list[NodeProto]:
    """What makes the same as `node` in fewer steps, counted from the graph's inputs."""
    if node.op_type != "Reshape" or not graph.shape(node.output[0]):
        return [node]
    return _kept_axes(graph, node) or _filled(graph, node) or [_straight(graph, node)]


def _straight(graph: Pattern, node: NodeProto) -> NodeProto:
    """`Reshape` of what a chain of them began with."""
    target = graph.constant(node.input[1])
    if target is None or 0 in target:  # "as before", of what is before
        return node
    source = node.input[0]
    while step := graph.maker(source, "Reshape"):
        source = step.input[0]
    return helper.make_node("Reshape", [source, node.input[1]], node.output, name=node.name)


def _kept_axes(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    """A reduction that keeps its axes, for one that drops them and a `Reshape` that adds them."""
    reduction = graph.maker(node.input[0], *_REDUCTIONS)
    axes = None if reduction is None else graph.constant(reduction.input[1])
    if reduction is None or axes is None:
        return None
    kept = graph.shape(reduction.input[0])
    for axis in axes.tolist():
        kept[axis] = 1
    if graph.shape(node.output[0]) != kept:
        return None
    kind, name = reduction.op_type, node.output[0]
    return [helper.make_node(kind, reduction.input, [name], name=name, keepdims=1)]


def _filled(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    """`Where` in the shape that its array has before and after; the condition takes that shape."""
    filled = graph.maker(node.input[0], "Where")
    inner = filled and graph.maker(filled.input[1], "Reshape")
    if not (filled and inner) or graph.constant(node.input[1]) is None:
        return None
    mask, x, value = filled.input[0], inner.input[0], graph.constant(filled.input[2])
    if value is None or value.size != 1 or graph.shape(mask) != graph.shape(filled.output[0]):
        return None
    if graph.shape(x) != graph.shape(node.output[0]):
        return None
    name = node.output[0]
    return [
        helper.make_node("Reshape", [mask, node.input[1]], [f"{name}.mask"], name=f"{name}.mask"),
        helper.make_node("Where", [f"{name}.mask", x, filled.input[2]], [name], name=name),
    ]
