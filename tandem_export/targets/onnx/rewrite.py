"""Rewrites of what the converter emits, where engines run another form of the same faster."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

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


def scalar_constants(model: ModelProto) -> None:
    """Stores one element of what `Where` fills with, in place.

    The converter may fold such a value into a constant of the result's shape, one for each layer.
    """
    filled = {node.input[2] for node in model.graph.node if node.op_type == "Where"}
    for tensor in model.graph.initializer:
        if tensor.name in filled:
            value = numpy_helper.to_array(tensor)
            if value.size > 1 and np.all(value == value.flat[0]):
                tensor.CopyFrom(numpy_helper.from_array(value.flat[0].reshape(()), tensor.name))


def merge_repeated(model: ModelProto) -> None:
    """Computes once what layers compute alike, such as shapes, masks and angles, in place."""
    names = _merged_constants(model)
    results = {output.name for output in model.graph.output}
    first: dict[tuple, NodeProto] = {}
    kept = []
    for node in model.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        attributes = sorted(a.SerializeToString() for a in node.attribute)
        same = first.setdefault((node.op_type, *node.input, *attributes), node)
        if same is node or results.intersection(node.output):
            kept.append(node)
        else:
            names.update(zip(node.output, same.output, strict=True))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _merged_constants(model: ModelProto) -> dict[str, str]:
    """For each constant the name of the first one that is equal."""
    first: dict[tuple, str] = {}
    names = {}
    for tensor in model.graph.initializer:
        if not tensor.external_data:
            value = numpy_helper.to_array(tensor)
            key = (value.dtype.str, value.shape, value.tobytes())
            names[tensor.name] = first.setdefault(key, tensor.name)
    return names


def drop_unused(model: ModelProto) -> None:
    """Takes out the nodes and constants that no output needs, and what is noted of them."""
    wanted = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    replace_all(model.graph.node, kept[::-1])
    replace_all(model.graph.initializer, [t for t in model.graph.initializer if t.name in wanted])
    del model.graph.value_info[:]  # engines infer shapes anyway


def replace_all(repeated: Any, some: list[Any]) -> None:
    """Makes `some` what the repeated field has; they may come from it."""
    copies = [type(one).FromString(one.SerializeToString()) for one in some]
    del repeated[:]
    repeated.extend(copies)
