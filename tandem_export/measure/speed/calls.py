"""What it costs to call a compiled graph with jax: the part of a round that is no arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.measure.turns import median_clocks

Arrays = dict[str, jax.Array]
_CALLS = 50


def empty_call(graph: GraphRecord) -> Callable[[], float]:
    """Measures a call with `graph`'s arguments and results that computes nothing.

    The parameters are arguments, the state is donated and comes back, the outputs are fetched, all
    as the executor does it.

    Returns:
      A function that makes 50 such calls and returns the median of their seconds.
    """

    def nothing(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params, inputs
        return _zeros(graph.outputs), state

    # Parameters of one shape are one array: a call costs the same, and they are not held twice.
    zero = functools.cache(jnp.zeros)
    params = {spec.name: zero(spec.shape, spec.dtype) for spec in graph.params}
    state, inputs = _zeros(graph.state), _zeros(graph.inputs)
    run = jax.jit(nothing, donate_argnums=(1,), keep_unused=True)
    run = run.lower(params, state, inputs).compile()

    def call() -> None:
        nonlocal state
        outputs, state = run(params, state, inputs)
        for value in outputs.values():
            np.asarray(value)

    return lambda: median_clocks({"call": call}, _CALLS, unmeasured=0)["call"].wall


def _zeros(specs: Sequence[TensorSpec]) -> Arrays:
    return {spec.name: jnp.zeros(spec.shape, spec.dtype) for spec in specs}
