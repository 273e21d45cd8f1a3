"""RMSNorm, rotary embedding and GELU as the one operator that ONNX has for each.

The converter knows them as the dozen operations that the model spells out. Both engines run the
operators of opset 23, and the step of a small model is then much faster. What does not look as
expected stays as it is: slower, and as right.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from tandem_export.targets.onnx.pattern import Pattern


def fuse(model: ModelProto) -> None:
    """Puts one operator in the place of the last of those it stands for, in place."""
    graph = Pattern(model)
    made = {id(node): new for node in model.graph.node if (new := _fused(graph, node))}
    nodes = [new for node in model.graph.node for new in made.get(id(node), [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _fused(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    if node.op_type == "Mul":
        return _rms_norm(graph, node) or _gelu(graph, node)
    return _rotary(graph, node) if node.op_type == "Concat" else None


def _rms_norm(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    """`x * (1 / sqrt(sum(x * x) / size + eps)) * gain`, from its last product."""
    inner = graph.operands(node.input[0], "Mul")
    inverse = inner and graph.operands(graph.behind(inner[1]), "Div")
    root = inverse and graph.maker(inverse[1], "Sqrt")
    added = root and graph.operands(root.input[0], "Add")
    mean = added and graph.operands(graph.behind(added[0]), "Div")
    total = mean and graph.maker(graph.behind(mean[0]), "ReduceSumSquare")
    if not (inner and inverse and added and mean and total):
        return None
    shape, gain = graph.shape(inner[0]), graph.shape(node.input[1])
    if total.input[0] != inner[0] or not shape or gain[-1:] != shape[-1:]:
        return None
    if not (graph.equals(inverse[0], 1) and graph.equals(mean[1], shape[-1])):
        return None
    eps = graph.constant(added[1])
    if eps is None or not graph.equals(total.input[1], len(shape) - 1):
        return None
    made = helper.make_node(
        "RMSNormalization",
        [inner[0], graph.behind(node.input[1])],
        node.output,
        name=node.output[0],
        axis=-1,
        epsilon=float(eps.item()),
    )
    return [made]


def _gelu(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    """`x * (0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))))`, from its last product."""
    x, gate = node.input
    halved = graph.without(gate, "Mul", 0.5)
    tanh = graph.maker(graph.without(halved, "Add", 1.0), "Tanh")
    inner = graph.operands(graph.without(tanh and tanh.input[0], "Mul", (2 / np.pi) ** 0.5), "Add")
    cube = inner and graph.maker(graph.without(inner[1], "Mul", 0.044715), "Pow")
    if not (inner and cube) or (inner[0], cube.input[0]) != (x, x):
        return None
    if not graph.equals(cube.input[1], 3):
        return None
    return [helper.make_node("Gelu", [x], node.output, name=node.output[0], approximate="tanh")]


def _rotary(graph: Pattern, node: NodeProto) -> list[NodeProto] | None:
    """`[a cos - b sin, b cos + a sin]`, a and b the halves of the last axis of `[B, T, N, H]`."""
    if len(node.input) != 2:
        return None
    low, high = graph.operands(node.input[0], "Sub"), graph.operands(node.input[1], "Add")
    if not (low and high):
        return None
    products = [graph.operands(value, "Mul") for value in (*low, *high)]
    if None in products:
        return None
    (a, cos), (b, sin), (b_again, cos_again), (a_again, sin_again) = products  # pyright: ignore
    turns = [graph.behind(value) for value in (cos, sin, cos_again, sin_again)]
    if (a, b, *turns[:2]) != (a_again, b_again, *turns[2:]) or not _of_one_angle(graph, *turns[:2]):
        return None
    x, shape = _joined_halves(graph, a, b)
    B, T, N, H = shape or (0, 0, 0, 0)
    if x is None or graph.shape(turns[0]) != [B, T, 1, H // 2] or node.attribute[0].i != 3:
        return None
    return _rotary_nodes(node.output[0], x, turns, (B, T, N, H))


def _of_one_angle(graph: Pattern, cos: str, sin: str) -> bool:
    made = graph.maker(cos, "Cos"), graph.maker(sin, "Sin")
    return made[0] is not None and made[1] is not None and made[0].input[0] == made[1].input[0]


def _joined_halves(graph: Pattern, a: str, b: str) -> tuple[str | None, list[int] | None]:
    """The array `[B, T, N, H]` whose halves along H are `a` and `b`, and its shape."""
    first, second = graph.span(a), graph.span(b)
    if first is None or second is None or first[0] != second[0] or len(first[1]) != 4:
        return None, None
    *outer, size = shape = second[2]
    halves = [0, 0, 0, 0], [*outer, size // 2], [0, 0, 0, size // 2], shape
    return (first[0], shape) if (*first[1:], *second[1:]) == halves else (None, None)


def _rotary_nodes(
    out: str, x: str, turns: list[str], shape: tuple[int, int, int, int]
) -> list[NodeProto]:
    """On three axes: on four, the operator wants the heads before the tokens."""
    B, T, N, H = shape
    shapes = {"flat": [B, T, N * H], "table": [B, T, H // 2], "whole": list(shape)}
    return [
        *(_shape(f"{out}.{name}.shape", sizes) for name, sizes in shapes.items()),
        _reshape(turns[0], f"{out}.cos", f"{out}.table.shape"),
        _reshape(turns[1], f"{out}.sin", f"{out}.table.shape"),
        _reshape(x, f"{out}.flat", f"{out}.flat.shape"),
        helper.make_node(
            "RotaryEmbedding",
            [f"{out}.flat", f"{out}.cos", f"{out}.sin"],
            [f"{out}.turned"],
            name=f"{out}.turned",
            num_heads=N,
        ),
        _reshape(f"{out}.turned", out, f"{out}.whole.shape"),
    ]


def _reshape(value: str, made: str, shape: str) -> NodeProto:
    return helper.make_node("Reshape", [value, shape], [made], name=made)


def _shape(name: str, sizes: list[int]) -> NodeProto:
    value = numpy_helper.from_array(np.array(sizes, np.int64))  # no name: equal ones are merged
    return helper.make_node("Constant", [], [name], name=name, value=value)
