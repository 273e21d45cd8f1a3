"""Walks a jaxpr, equation by equation, and adds to an ONNX graph what each one stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from onnx import GraphProto

from tandem_export.targets.errors import LoweringError
from tandem_export.targets.onnx.lower.graph import GraphBuilder, Value
from tandem_export.targets.onnx.lower.parts import PARTS
from tandem_export.targets.onnx.lower.primitives import LOWERINGS
from tandem_export.targets.onnx.lower.shaping import LARGEST_FOLDED, expand


def lower(
    closed: ClosedJaxpr, name: str, inputs: Sequence[str], outputs: Sequence[str], *, origin: str
) -> GraphProto:
    """A traced function as an ONNX graph.

    Args:
      closed: of `jax.make_jaxpr`.
      name: of the graph.
      inputs, outputs: names of the function's arguments and results, in order.
      origin: what was traced, in words, for errors.

    Raises:
      LoweringError: an operation has no ONNX form.
    """
    graph = GraphBuilder()
    avals = [variable.aval for variable in closed.jaxpr.invars]
    pairs = zip(inputs, avals, strict=True)
    operands = [graph.input(given, aval.shape, aval.dtype) for given, aval in pairs]
    made = Interpreter(graph=graph, origin=origin).run(closed, operands)
    shapes = [aval.shape for aval in closed.out_avals]
    whole = [expand(graph, value, shape) for value, shape in zip(made, shapes, strict=True)]
    return graph.finish(name, dict(zip(outputs, whole, strict=True)))


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
        """The values of the results; one that is broadcast is as small as before.

        Raises:
          LoweringError: an operation has no ONNX form here.
        """
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.constvars, map(self.graph.constant, closed.consts), strict=True))
        values |= zip(jaxpr.invars, operands, strict=True)

        def read(atom: Var | Literal) -> Value:
            if isinstance(atom, Literal):
                return self.graph.constant(atom.val, atom.aval.dtype)
            return values[atom]

        for equation in jaxpr.eqns:
            results = self._lowered(equation, [read(atom) for atom in equation.invars])
            values |= zip(equation.outvars, results, strict=True)
        return [read(atom) for atom in jaxpr.outvars]

    def _lowered(self, equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
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

    def _called(self, equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
        name = equation.params["name"]
        if name in PARTS:
            return _several(PARTS[name](self.graph, *self._arrays(equation, operands)))
        inside = replace(self, calls=(*self.calls, name))
        return inside.run(equation.params["jaxpr"], operands)

    def _folded(self, equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
        arrays = [value.constant for value in self._arrays(equation, operands)]
        made = equation.primitive.bind(*arrays, **equation.params)
        results = made if equation.primitive.multiple_results else [made]
        return [self.graph.constant(jax.device_get(result)) for result in results]

    def _arrays(self, equation: JaxprEqn, operands: list[Value]) -> list[Value]:
        shapes = [atom.aval.shape for atom in equation.invars]
        return [expand(self.graph, x, shape) for x, shape in zip(operands, shapes, strict=True)]

    def _error(self, equation: JaxprEqn, rule: str) -> LoweringError:
        name, where = equation.primitive.name, " > ".join(self.calls) or "the graph's own function"
        got = f"{name} of {', '.join(str(atom.aval) for atom in equation.invars)}"
        return LoweringError(
            f"{self.origin}: operation `{name}` in {where} cannot be written as ONNX: {rule}. "
            f"Got: {got}. Write that function with other operations, or add a lowering to "
            "tandem_export/targets/onnx/lower/primitives."
        )


def _is_folded(equation: JaxprEqn, operands: Sequence[Value]) -> bool:
    """Whether all is known, and small."""
    sizes = [math.prod(atom.aval.shape) for atom in (*equation.invars, *equation.outvars)]
    return max(sizes) <= LARGEST_FOLDED and all(x.constant is not None for x in operands)


def _several(results: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)
