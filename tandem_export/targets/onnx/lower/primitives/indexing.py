"""Reading at indices."""

from __future__ import annotations

from collections.abc import Callable

import jax

from tandem_export.targets.onnx.lower.equation import Equation
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.shaping import cast, expand, reshape


def _gather(graph: GraphBuilder, equation: Equation, x: Value, indices: Value) -> Value:
    """Places of one axis. A table that is widened first is read first, and its rows widened."""
    axis = _axis(equation)
    stored = x.made_by("Cast")
    table = stored[0] if stored else expand(graph, x, equation.operands[0].shape)
    *places, _ = equation.operands[1].shape
    at = reshape(graph, expand(graph, indices, (*places, 1)), tuple(places))
    shape = equation.results[0].shape
    return cast(graph, graph.emit("Gather", table, at, shape=shape, axis=axis), x.dtype)


def _axis(equation: Equation) -> int:
    """Returns the axis that is indexed.

    Raises:
      NotImplementedError: several are, or an index may lie outside, which no engine allows.
    """
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    operand, indices = (array.shape for array in equation.operands)
    (axis, *others) = numbers.start_index_map
    rest = [a for a in range(len(operand)) if a != axis]
    is_whole_axis = all(sizes[a] == operand[a] for a in rest)
    # ONNX puts the axes of the indices where the axis that they index was.
    places = [a if a < axis else a + len(indices) - 2 for a in rest]
    plain = numbers.collapsed_slice_dims == (axis,) and list(numbers.offset_dims) == places
    if others or not (is_whole_axis and plain) or numbers.operand_batching_dims:
        raise NotImplementedError("only places of one axis can be read, each as a whole")
    if equation.params["mode"] != jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS:
        raise NotImplementedError("an index must be in bounds: `mode='promise_in_bounds'`")
    return axis


LOWERINGS: dict[str, Callable[..., Value]] = {"gather": _gather}
