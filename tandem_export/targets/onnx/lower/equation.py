"""What a lowering is told of an equation: its parameters, and the shapes around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import JaxprEqn, Literal, Primitive, Var


@dataclass(frozen=True, kw_only=True)
class Equation:
    """One equation of a jaxpr, without its variables.

    Attributes:
      primitive: what is computed.
      params: of the primitive.
      operands: shape and dtype of each operand; the value for it may be smaller, and broadcast.
      results: shape and dtype of each result.
    """

    primitive: Primitive
    params: Mapping[str, Any]
    operands: tuple[jax.ShapeDtypeStruct, ...]
    results: tuple[jax.ShapeDtypeStruct, ...]


def equation_of(traced: JaxprEqn) -> Equation:
    """Returns a traced equation without its variables."""
    return Equation(
        primitive=traced.primitive,
        params=traced.params,
        operands=tuple(array_of(atom) for atom in traced.invars),
        results=tuple(array_of(atom) for atom in traced.outvars),
    )


def array_of(atom: Var | Literal) -> jax.ShapeDtypeStruct:
    """Returns shape and dtype of a variable or number."""
    aval: Any = atom.aval  # of an array: there are no others in a graph
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)
