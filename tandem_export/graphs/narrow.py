"""Narrows a graph to the parameters and the state that its results depend on."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from tandem_export.graphs.spec import Arrays, Graph


def narrowed(graph: Graph) -> Graph:
    """`graph` with the parameters and state that its results depend on, and no others.

    The others are traced as zeros, into operations that no result needs: the compiler drops them.
    """
    jaxpr = jax.make_jaxpr(graph.function)(graph.params, graph.state, graph.inputs).jaxpr
    used = _used(jaxpr)
    flags = iter([id(var) in used for var in jaxpr.invars])
    params = {name: graph.params[name] for name in sorted(graph.params) if next(flags)}
    state = {name: graph.state[name] for name in sorted(graph.state) if next(flags)}
    unused = {name: leaf for name, leaf in graph.params.items() if name not in params}

    def function(some: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        zeros = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in unused.items()}
        return graph.function(some | zeros, state, inputs)

    return dataclasses.replace(graph, function=function, params=params, state=state)


def _used(jaxpr: Any) -> set[int]:
    """Ids of the variables that some result needs; an input handed through is not used."""
    inputs = {id(var) for var in jaxpr.invars}
    return _needed(jaxpr, {id(var) for var in jaxpr.outvars} - inputs)


def _needed(jaxpr: Any, used: set[int]) -> set[int]:
    """`used` and the ids of all variables that they depend on."""
    for equation in reversed(jaxpr.eqns):
        wanted = [id(var) in used for var in equation.outvars]
        if any(wanted):
            used.update(id(var) for var in _read(equation, wanted))
    return used


def _read(equation: Any, wanted: list[bool]) -> list[Any]:
    """The inputs of an operation that its `wanted` results depend on: of a jitted call, not all."""
    if equation.primitive.name != "jit":
        return equation.invars
    inner = equation.params["jaxpr"].jaxpr
    results = {id(var) for var, want in zip(inner.outvars, wanted, strict=True) if want}
    needed = _needed(inner, results)
    return [o for o, own in zip(equation.invars, inner.invars, strict=True) if id(own) in needed]
