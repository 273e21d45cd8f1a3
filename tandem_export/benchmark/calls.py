"""What it costs to call a compiled graph with jax: the part of a round that is no arithmetic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from tandem_export.bundle import GraphRecord, TensorSpec

Arrays = dict[str, jax.Array]


def call_seconds(graph: GraphRecord, repetitions: int = 200) -> float:
    """Median seconds of a call with `graph`'s arguments and results that computes nothing.

    The parameters are arguments, the state is donated and comes back, the outputs are fetched, all
    as the executor does it.
    """
    params, state, inputs = (_zeros(specs) for specs in (graph.params, graph.state, graph.inputs))

    def nothing(params: Arrays, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        del params, inputs
        return _zeros(graph.outputs), state

    run = jax.jit(nothing, donate_argnums=(1,), keep_unused=True)
    run = run.lower(params, state, inputs).compile()
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        outputs, state = run(params, state, inputs)
        for value in outputs.values():
            np.asarray(value)
        taken.append(time.perf_counter() - start)
    return median(taken)


def _zeros(specs: Sequence[TensorSpec]) -> Arrays:
    return {spec.name: jnp.zeros(spec.shape, spec.dtype) for spec in specs}
