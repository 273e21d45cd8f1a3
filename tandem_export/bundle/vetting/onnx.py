"""Checks what an ONNX model may do, without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator

from tandem_export.bundle.vetting.allowed import ONNX
from tandem_export.bundle.vetting.protobuf import Message
from tandem_export.bundle.vetting.reading import Malformed

# Field numbers of onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODES, _GRAPH_TENSORS, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTES, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL = 13
_KEY, _VALUE = 1, 2
_DEFAULT_DOMAINS = ("", "ai.onnx")


def check_onnx(data: bytes, weights: str) -> None:
    """Checks the operators of a model, and that its weights are in the file `weights` beside it.

    Raises:
      Malformed: it does or reads something else, or is no model.
    """
    model = Message(data)
    if model.pieces.get(_MODEL_FUNCTIONS):
        raise Malformed("a model must define no functions")
    for graph in model.messages(_MODEL_GRAPH):
        if graph.pieces.get(_GRAPH_SPARSE):
            raise Malformed("a model must hold no sparse tensors")
        _check_tensors(graph.messages(_GRAPH_TENSORS), weights)
        for node in graph.messages(_GRAPH_NODES):
            _check_node(node, weights)


def _check_node(node: Message, weights: str) -> None:
    operator, domain = node.text(_NODE_OPERATOR), node.text(_NODE_DOMAIN)
    if domain not in _DEFAULT_DOMAINS or operator not in ONNX:
        name = f"{domain}.{operator}" if domain else operator
        raise Malformed(f"operators must be of the default domain and on its list. Got: {name!r}")
    for attribute in node.messages(_NODE_ATTRIBUTES):
        if any(attribute.pieces.get(field) for field in (*_ATTRIBUTE_GRAPHS, *_ATTRIBUTE_SPARSE)):
            raise Malformed(f"operator {operator} must hold no graph and no sparse tensor")
        for field in _ATTRIBUTE_TENSORS:
            _check_tensors(attribute.messages(field), weights)


def _check_tensors(tensors: Iterator[Message], weights: str) -> None:
    for tensor in tensors:
        for entry in tensor.messages(_TENSOR_EXTERNAL):
            key, value = entry.text(_KEY), entry.text(_VALUE)
            if key == "location" and value != weights:
                raise Malformed(f"weights must be in {weights!r}. Got: {value!r}")
