"""Walks a jaxpr, equation by equation, and adds to an ONNX graph what each one stands for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import jax
from jax.extend.core import ClosedJaxpr, Literal, Var
from onnx import GraphProto

from tandem_export.targets.errors import LoweringError
from tandem_export.targets.onnx.lower.equation import Equation, array_of, equation_of
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.parts import PARTS
from tandem_export.targets.onnx.lower.primitives import LOWERINGS
from tandem_export.targets.onnx.lower.shaping import LARGEST_FOLDED, expand


def lower(
    closed: ClosedJaxpr, name: str, inputs: Sequence[str], outputs: Sequence[str], *, origin: str
) -> GraphProto:
    """Returns a traced function as an ONNX graph.

    Args:
      closed: of `jax.make_jaxpr`.
      name: of the graph.
      inputs: names of the function's arguments, in order.
      outputs: names of its results, in order.
      origin: what was traced, in words, for errors.

    Raises:
      LoweringError: an operation has no ONNX form.
    """
    graph = GraphBuilder()
    arguments = zip(inputs, map(array_of, closed.jaxpr.invars), strict=True)
    operands = [graph.input(given, array.shape, array.dtype) for given, array in arguments]
    values = Interpreter(graph=graph, origin=origin).run(closed, operands)
    results = _arrays(graph, values, map(array_of, closed.jaxpr.outvars))
    return graph.finish(name, dict(zip(outputs, results, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """Where equations are added, and where they come from.

    Attributes:
      graph: what they are added to.
      origin: the traced graph, in words, for errors.
      calls: names of the jitted functions around them, outermost first.
    """

    graph: GraphBuilder
    origin: str
    calls: tuple[str, ...] = ()

    def run(self, closed: ClosedJaxpr, operands: Sequence[Value]) -> list[Value]:
        """Returns the values of the results; one that is broadcast is as small as before.

        Raises:
          LoweringError: an operation has no ONNX form here.
        """
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.constvars, map(self.graph.constant, closed.consts), strict=True))
        values |= zip(jaxpr.invars, operands, strict=True)

        def read(atom: Var | Literal) -> Value:
            if isinstance(atom, Literal):
                return self.graph.constant(atom.val, array_of(atom).dtype)
            return values[atom]

        for traced in jaxpr.eqns:
            results = self._lowered(equation_of(traced), [read(atom) for atom in traced.invars])
            values |= zip(traced.outvars, results, strict=True)
        return [read(atom) for atom in jaxpr.outvars]

    def _lowered(self, equation: Equation, operands: list[Value]) -> Sequence[Value]:
        name = equation.primitive.name
        if name == "jit":
            return self._called(equation, operands)
        if _is_folded(equation, operands):
            return self._folded(equation, operands)
        if name not in LOWERINGS:
            raise self._error(equation, f"known are {', '.join(sorted(LOWERINGS))}")
        try:
            return _several(LOWERINGS[name](self.graph, equation, *operands))
        except NotImplementedError as error:
            raise self._error(equation, str(error)) from error

    def _called(self, equation: Equation, operands: list[Value]) -> Sequence[Value]:
        name = equation.params["name"]
        if name in PARTS:
            arrays = _arrays(self.graph, operands, equation.operands)
            return _several(PARTS[name](self.graph, *arrays))
        inside = replace(self, calls=(*self.calls, name))
        return inside.run(equation.params["jaxpr"], operands)

    def _folded(self, equation: Equation, operands: list[Value]) -> Sequence[Value]:
        arrays = _arrays(self.graph, operands, equation.operands)
        folded = equation.primitive.bind(*(x.constant for x in arrays), **equation.params)
        results = folded if equation.primitive.multiple_results else [folded]
        return [self.graph.constant(jax.device_get(result)) for result in results]

    def _error(self, equation: Equation, rule: str) -> LoweringError:
        name, where = equation.primitive.name, " > ".join(self.calls) or "the graph's own function"
        given = ", ".join(f"{array.dtype}{list(array.shape)}" for array in equation.operands)
        return LoweringError(
            f"{self.origin}: operation `{name}` in {where} cannot be written as ONNX: {rule}. "
            f"Got: {name} of {given}. Write that function with other operations, or add a lowering "
            "to tandem_export/targets/onnx/lower/primitives."
        )


def _is_folded(equation: Equation, operands: Sequence[Value]) -> bool:
    """Returns whether all is known, and small."""
    sizes = [math.prod(array.shape) for array in (*equation.operands, *equation.results)]
    return max(sizes) <= LARGEST_FOLDED and all(x.constant is not None for x in operands)


def _arrays(
    graph: GraphBuilder, values: Sequence[Value], wanted: Iterable[jax.ShapeDtypeStruct]
) -> list[Value]:
    """Returns the arrays that the values stand for."""
    return [expand(graph, x, array.shape) for x, array in zip(values, wanted, strict=True)]


def _several(results: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)
