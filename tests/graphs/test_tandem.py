"""The loop's drafter is the trained one: the primary's rows before its block, its own within."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.stdlib_mini.losses import drafter_logits, primary_pass
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions
from tests.graphs.harness import CACHE, Pair
from tests.tiny import INDEPENDENT, TANDEM, random_params

WINDOWED = dataclasses.replace(TANDEM.drafter, sliding_window=3, window_pattern=(True, False))
CONFIGS = {
    "tandem": TANDEM,
    "sliding window": dataclasses.replace(TANDEM, drafter=WINDOWED),
    "independent": INDEPENDENT,
}
B, BLOCK, LENGTH = 2, 4, 12
OPTIONS = BuildOptions(
    batch=(B,),
    gamma=(BLOCK - 1,),
    prompt=(4,),
    cache=CACHE,
    roles=("primary_block", "drafter_step"),
)
TOKENS = jnp.asarray(np.random.default_rng(5).integers(0, 17, (B, LENGTH)), jnp.int32)


def whole_sequence(config: TandemConfig, params: dict) -> np.ndarray:
    """Drafter logits `[B, LENGTH, V]` under the mask of training."""

    @jax.jit
    def run(primary, drafter):
        _, run = primary_pass(config, primary, TOKENS)
        return drafter_logits(config, drafter, TOKENS, run.activations, BLOCK)

    return np.asarray(run(params["primary"], params["drafter"])).reshape(B, LENGTH, -1)


@pytest.mark.parametrize("kind", CONFIGS)
def test_drafter_in_the_loop_is_the_drafter_of_training(kind: str) -> None:
    config = CONFIGS[kind]
    parts = {part: random_params(config, part) for part in ("primary", "drafter")}
    flat = {f"{part}.{name}": x for part, own in parts.items() for name, x in own.items()}
    pair, want = Pair(config, OPTIONS), whole_sequence(config, parts)
    state = pair.empty(B)
    for at in range(0, LENGTH, BLOCK):
        for i in range(at, at + BLOCK):
            inputs = {"tokens": TOKENS[:, i : i + 1], "start": np.full(B, i, np.int32)}
            outputs, state = pair.call(f"drafter_step_b{B}_t1", flat, state, inputs)
            np.testing.assert_allclose(outputs["logits"], want[:, i], rtol=1e-4, atol=1e-5)
        inputs = {"tokens": TOKENS[:, at : at + BLOCK], "start": np.full(B, at, np.int32)}
        _, state = pair.call(f"primary_block_b{B}_t{BLOCK}", flat, state, inputs)
