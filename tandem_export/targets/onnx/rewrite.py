"""Rewrites of what the converter emits, where engines run another form of the same faster."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

# The two products of attention. An engine runs an Einsum by transposing and copying the cache;
# a Transpose in front of a MatMul is folded into it.
_TRANSPOSED = {"bkmh,bksh->bkms": True, "bkms,bksh->bkmh": False}


def plain_products(model: ModelProto) -> None:
    """Replaces the Einsums of attention with MatMul, in place."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.extend(_product(node) if node.op_type == "Einsum" else [node])


def _product(node: NodeProto) -> list[NodeProto]:
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
    if equation not in _TRANSPOSED:
        return [node]
    left, right = node.input
    if not _TRANSPOSED[equation]:
        return [helper.make_node("MatMul", [left, right], node.output, name=node.name)]
    turned = f"{node.output[0]}.transposed"
    return [
        helper.make_node("Transpose", [right], [turned], perm=[0, 1, 3, 2], name=turned),
        helper.make_node("MatMul", [left, turned], node.output, name=node.name),
    ]
