"""RMSNorm, rotary embedding and GELU as the one operator that ONNX has for each.

The converter knows them as the dozen operations that the model spells out. Both engines run the
operators of opset 23, and the step of a small model is then much faster. What does not look as
expected stays as it is: slower, and as right.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

_SHAPING = ("Reshape", "Expand")


def fuse(model: ModelProto) -> None:
    """Puts one operator in the place of the last of those it stands for, in place."""
    graph = _Graph(model)
    made = {id(node): new for node in model.graph.node if (new := _fused(graph, node))}
    nodes = [new for node in model.graph.node for new in made.get(id(node), [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Graph:
    """Who makes a value, its shape, and what the constants are."""

    def __init__(self, model: ModelProto) -> None:
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._inline = {t.name: t for t in model.graph.initializer if not t.external_data}
        noted = (*model.graph.input, *model.graph.value_info)
        self._shapes = {value.name: value.type.tensor_type.shape.dim for value in noted}

    def maker(self, value: str | None, *operators: str) -> NodeProto | None:
        """The node that makes `value` if it is one of `operators`."""
        node = None if value is None else self._makers.get(value)
        return node if node is not None and node.op_type in operators else None

    def constant(self, value: str) -> np.ndarray | None:
        """The value of a small constant."""
        tensor = self._inline.get(value)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def shape(self, value: str) -> list[int]:
        """Of `value`; empty where it is not known."""
        return [dim.dim_value for dim in self._shapes.get(value, ())]

    def behind(self, value: str) -> str:
        """What `value` is a reshaped or broadcast form of."""
        while node := self.maker(value, *_SHAPING):
            value = node.input[0]
        return value

    def operands(self, value: str | None, operator: str) -> tuple[str, str] | None:
        """The two operands of the `operator` that makes `value`."""
        node = self.maker(value, operator)
        return None if node is None else (node.input[0], node.input[1])

    def without(self, value: str | None, operator: str, constant: float) -> str | None:
        """The other operand of the commutative `operator` that makes `value` with `constant`."""
        pair = self.operands(value, operator)
        for one, other in (pair, pair[::-1]) if pair else ():
            if self.equals(one, constant):
                return other
        return None

    def equals(self, value: str, constant: float) -> bool:
        """Whether `value` is this one number, in float32."""
        found = self.constant(value)
        return found is not None and found.size == 1 and bool(np.isclose(found.item(), constant))


def _fused(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
    if node.op_type == "Mul":
        return _rms_norm(graph, node) or _gelu(graph, node)
    return _rotary(graph, node) if node.op_type == "Concat" else None


def _rms_norm(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
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


def _gelu(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
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


def _rotary(graph: _Graph, node: NodeProto) -> list[NodeProto] | None:
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
    names = [graph.behind(value) for value in (cos, sin, cos_again, sin_again)]
    halves = [graph.maker(value, "Slice") for value in (a, b)]
    same = (a, b, names[0], names[1]) == (a_again, b_again, names[2], names[3])
    if not same or None in halves or not graph.maker(names[0], "Cos"):
        return None
    return _rotary_nodes(graph, node, halves[0], names[0], names[1])  # pyright: ignore


def _rotary_nodes(
    graph: _Graph, node: NodeProto, half: NodeProto, cos: str, sin: str
) -> list[NodeProto] | None:
    limits = graph.constant(half.input[2])
    if limits is None or limits.size != 4:
        return None
    B, T, N, P = (int(size) for size in limits)
    out = node.output[0]
    flat, whole = [B, T, N * P * 2], [B, T, N, P * 2]
    shapes = {"flat": flat, "table": [B, T, P], "whole": whole}
    constants = [_shape(f"{out}.{name}.shape", value) for name, value in shapes.items()]
    return [
        *constants,
        _reshape(cos, f"{out}.cos", f"{out}.table.shape"),
        _reshape(sin, f"{out}.sin", f"{out}.table.shape"),
        _reshape(half.input[0], f"{out}.flat", f"{out}.flat.shape"),
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
    value = numpy_helper.from_array(np.array(sizes, np.int64), name)
    return helper.make_node("Constant", [], [name], name=name, value=value)
