"""The programs of the layer scan compute the same block."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.layer_scan import alone, programs, stacked
from tandem_export.targets.validate.case import random_values
from tests.tiny import GEMMA2, LLAMA


def test_a_scan_over_layers_is_the_unrolled_block():
    config = alone(LLAMA)
    plain, scan, inside = programs(config, batch=2, width=3, cache=16, dtype="float32").values()
    rng = np.random.default_rng(0)
    params = {n: v - v.dtype.type(0.5) for n, v in random_values(plain.params, rng).items()}
    state, inputs = random_values(plain.state, rng), random_values(plain.inputs, rng)
    want = jax.jit(plain.function)(params, state, inputs)
    same = jax.jit(inside.function)(params, state, inputs)
    outputs, after = jax.jit(scan.function)(
        stacked(params, jnp.stack), stacked(state, jnp.stack), inputs
    )
    for got in (same, (outputs, {n: after[n[:9]][int(n[10:])] for n in want[1]})):
        for wanted, given in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
            np.testing.assert_allclose(given, wanted, atol=1e-5)


def test_layers_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match="layers of one kind"):
        alone(dataclasses.replace(GEMMA2, num_layers=1))
