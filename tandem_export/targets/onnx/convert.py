"""From a graph of the `rows` contract to an ONNX model over the bundle's one weight file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import jax
import jax2onnx
import onnx
from jax.extend.core import jaxpr_as_fun
from onnx import ModelProto, TensorProto, helper

from tandem_export.bundle import TensorPlace
from tandem_export.bundle.layout import WEIGHTS
from tandem_export.graphs import Arrays, Graph
from tandem_export.targets.errors import SerializationError
from tandem_export.targets.onnx.dequantize import dequantized_products
from tandem_export.targets.onnx.fuse import fuse
from tandem_export.targets.onnx.operators import OPSET
from tandem_export.targets.onnx.rewrite import (
    drop_unused,
    merge_repeated,
    plain_products,
    scalar_constants,
)
from tandem_export.targets.onnx.shapes import fold_shapes, plain_shapes

# jax2onnx replaces functions of jax while it traces.
_CONVERTING = threading.Lock()
_PARTS = ("params", "state", "inputs")


def convert(graph: Graph, places: Mapping[str, TensorPlace]) -> ModelProto:
    """The graph as an ONNX model: inputs are its state and inputs, outputs its outputs, by name.

    Args:
      graph: of the `rows` contract; the state that its function returns is left out.
      places: where each parameter lies in the weight store.

    Raises:
      SerializationError: the converter does not know an operation of the graph.
    """
    arguments = [(part, name) for part in _PARTS for name in sorted(getattr(graph, part))]
    leaves = [getattr(graph, part)[name] for part, name in arguments]
    outputs = output_names(graph)

    def flat(*values: jax.Array) -> tuple[jax.Array, ...]:
        named: dict[str, Arrays] = {part: {} for part in _PARTS}
        for (part, name), value in zip(arguments, values, strict=True):
            named[part][name] = value
        made, _ = graph.function(*(named[part] for part in _PARTS))
        return tuple(made[name] for name in outputs)

    model = _to_onnx(graph.name, flat, leaves, [name for _, name in arguments], outputs)
    plain_products(model)
    scalar_constants(model)
    fold_shapes(model)
    merge_repeated(model)
    fuse(model)
    plain_shapes(model)
    merge_repeated(model)
    bind_weights(model, {name: places[name] for name in graph.params})
    dequantized_products(model)
    drop_unused(model)
    model.graph.name = graph.name
    return model


def output_names(graph: Graph) -> list[str]:
    """The names of what the graph's function returns beside its state, sorted."""
    made, _ = jax.eval_shape(graph.function, graph.params, graph.state, graph.inputs)
    return sorted(made)


def _to_onnx(
    name: str,
    function: Callable[..., object],
    leaves: Sequence[object],
    inputs: list[str],
    outputs: list[str],
) -> ModelProto:
    try:
        with _CONVERTING:
            # Traced before the converter replaces anything: what a shared function of the model was
            # traced as stays in jax's caches, and every other target would get it from there.
            traced = jaxpr_as_fun(jax.make_jaxpr(function)(*leaves))
            made = jax2onnx.to_onnx(
                traced,  # pyright: ignore[reportArgumentType]
                leaves,  # pyright: ignore[reportArgumentType]
                opset=OPSET,
                input_names=inputs,
                output_names=outputs,
            )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise SerializationError(f"{name}: cannot be converted to ONNX: {error}") from error
    assert isinstance(made, ModelProto)
    return made


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
