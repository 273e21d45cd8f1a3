"""Narrows a graph to the parameters and the state that its results depend on."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from tandem_export.graphs.graph import Arrays, Graph


def narrowed(graph: Graph) -> Graph:
    """Returns `graph` with only the parameters and state that its results depend on.

    Unused parameters are replaced by zeros while tracing; the compiler then removes the dead
    operations. The graph's `outputs` are filled from the same trace.
    """
    closed, shapes = jax.make_jaxpr(graph.function, return_shape=True)(
        graph.params, graph.state, graph.inputs
    )
    used = _used(closed.jaxpr)
    flags = iter([id(var) in used for var in closed.jaxpr.invars])
    params = {name: graph.params[name] for name in sorted(graph.params) if next(flags)}
    state = {name: graph.state[name] for name in sorted(graph.state) if next(flags)}
    unused = {name: leaf for name, leaf in graph.params.items() if name not in params}

    def function(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        zeros = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in unused.items()}
        return graph.function(params | zeros, state, inputs)

    return dataclasses.replace(
        graph, function=function, params=params, state=state, outputs=shapes[0]
    )


def _used(jaxpr: Jaxpr) -> set[int]:
    """Returns ids of the variables that some result needs; an input passed through is not used."""
    inputs = {id(var) for var in jaxpr.invars}
    return _needed(jaxpr, {id(var) for var in jaxpr.outvars} - inputs)


def _needed(jaxpr: Jaxpr, used: set[int]) -> set[int]:
    """Adds to `used` the ids of all variables that its members depend on."""
    for equation in reversed(jaxpr.eqns):
        wanted = [id(var) in used for var in equation.outvars]
        if any(wanted):
            used.update(id(var) for var in _read(equation, wanted))
    return used


def _read(equation: JaxprEqn, wanted: list[bool]) -> Sequence[Var | Literal]:
    """Returns the operation's inputs that its `wanted` results depend on; of a call, not all."""
    if equation.primitive.name != "jit":
        return equation.invars
    inner = equation.params["jaxpr"].jaxpr
    results = {id(var) for var, want in zip(inner.outvars, wanted, strict=True) if want}
    needed = _needed(inner, results)
    pairs = zip(equation.invars, inner.invars, strict=True)
    return [outer for outer, inside in pairs if id(inside) in needed]
