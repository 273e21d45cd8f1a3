"""Products with int8 weights in ONNX's own form, from which engines pick kernels for int8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from onnx import ModelProto, NodeProto, TensorProto, helper

_ROW = "scales.shape"  # of a scale for each channel: one axis


def dequantized_products(model: ModelProto) -> None:
    """Rewrites `(x @ widened weight) * scale` as `x @ DequantizeLinear(weight, scale)`, in place.

    The converter widens an int8 weight `[I, O]`, or a token table `[V, D]` that it transposed,
    multiplies, and scales the columns of the result. What looks otherwise stays as it is; what was
    widened for the products is left without a reader.
    """
    stored = {t.name for t in model.graph.initializer if t.data_type == TensorProto.INT8}
    if not stored:
        return
    nodes = list(model.graph.node)
    made = {output: node for node in nodes for output in node.output}
    readers = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    replaced: dict[str, list[NodeProto]] = {}
    for node in nodes:
        if node.op_type == "Gemm":
            replaced |= _dequantized(node, stored, made, readers)
    model.graph.initializer.append(helper.make_tensor(_ROW, TensorProto.INT64, [1], [-1]))
    rest = [other for node in nodes for other in replaced.get(node.output[0], [node])]
    del model.graph.node[:]
    model.graph.node.extend(rest)


def _dequantized(
    product: NodeProto,
    stored: set[str],
    made: Mapping[str, NodeProto],
    readers: Mapping[str, Sequence[NodeProto]],
) -> dict[str, list[NodeProto]]:
    """What replaces the nodes, by their output: the scaling becomes the product, the product goes.

    Empty if `product` is not one with a widened int8 weight.
    """
    widened = made.get(product.input[1])
    if widened is None or widened.op_type != "Cast":
        return {}
    turned = made.get(widened.input[0])
    weight = turned.input[0] if turned is not None else widened.input[0]
    if weight not in stored:
        return {}
    scaling, *others = readers[product.output[0]]
    if scaling.op_type != "Mul" or others:
        return {}
    (scale,) = (name for name in scaling.input if name != product.output[0])
    axis = 1 if turned is None else 0
    scales, wide = f"{weight}.scales", f"{weight}.wide"
    return {
        product.output[0]: [],
        scaling.output[0]: [
            helper.make_node("Reshape", [scale, _ROW], [scales], name=scales),
            helper.make_node("DequantizeLinear", [weight, scales], [wide], name=wide, axis=axis),
            helper.make_node(
                "Gemm", [product.input[0], wide], scaling.output, name=product.name, transB=1 - axis
            ),
        ],
    }
