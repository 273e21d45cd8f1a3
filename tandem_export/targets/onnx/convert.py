"""From a graph of the `rows` contract to an ONNX model over the bundle's one weight file."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import onnx
from onnx import ModelProto, TensorProto, helper

from tandem_export.bundle import WEIGHTS, TensorPlace
from tandem_export.graphs import Arrays, Graph
from tandem_export.targets.onnx.lower import lower
from tandem_export.targets.onnx.operators import IR_VERSION, OPSET


def convert(graph: Graph, places: Mapping[str, TensorPlace]) -> ModelProto:
    """Converts a graph to an ONNX model that takes its state and inputs, and returns its outputs.

    Args:
      graph: of the `rows` contract; the state that its function returns is left out.
      places: where each parameter lies in the weight store.

    Raises:
      LoweringError: an operation of the graph has no ONNX form.
    """

    def outputs(params: Arrays, state: Arrays, inputs: Arrays) -> Arrays:
        return graph.function(params, state, inputs)[0]

    leaves = (graph.params, graph.state, graph.inputs)
    closed, shapes = jax.make_jaxpr(outputs, return_shape=True)(*leaves)
    names = [name for part in leaves for name in sorted(part)]
    origin = f"{graph.name} (role {graph.role})"
    body = lower(closed, graph.name, names, sorted(shapes), origin=origin)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION)
    bind_weights(model, {name: places[name] for name in graph.params})
    return model


def bind_weights(model: ModelProto, places: Mapping[str, TensorPlace]) -> None:
    """Turns the inputs named in `places` into initializers that point into the weight store."""
    free = [value for value in model.graph.input if value.name not in places]
    del model.graph.input[:]
    model.graph.input.extend(free)
    model.graph.initializer.extend(_pointer(name, place) for name, place in places.items())


def _pointer(name: str, place: TensorPlace) -> TensorProto:
    kind = helper.np_dtype_to_tensor_dtype(place.dtype)
    where = {"location": WEIGHTS, "offset": place.offset, "length": place.length}
    return TensorProto(
        name=name,
        data_type=kind,
        dims=place.shape,
        data_location=TensorProto.EXTERNAL,
        external_data=[
            onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in where.items()
        ],
    )
