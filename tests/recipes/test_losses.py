"""The losses against values worked out by hand, and which steps a stage takes."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import Tokenizer, models

pytest.importorskip("optax", reason="training needs optax (the extra `train`)")

from recipes.imported.stages import LOSSES, shared, stages, total_variation
from recipes.stdlib_mini.corpus import Corpus
from recipes.stdlib_mini.loop import MAX_BLOCK, TOKENS_A_STEP, draw

# The drafter's distribution at three positions; the last does not count.
LOG_Q = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.9, 0.05, 0.05]]))
BATCH = {
    # The primary's two largest probabilities; it has 0.2 of the first position outside of them.
    "top_p": jnp.array([[0.6, 0.2], [0.7, 0.3], [1.0, 0.0]]),
    "top_row": jnp.array([[0, 2], [1, 0], [1, 0]]),
    "labels": jnp.array([1, 1, 2]),
    "counted": jnp.array([1.0, 1.0, 0.0]),
    "known": jnp.array([0.0, 1.0, 0.0]),
}


def test_what_drafter_and_primary_share() -> None:
    # min(.5, .6) + min(.25, .2), and min(.8, .7) + min(.1, .3)
    assert shared(LOG_Q, BATCH)[:2].tolist() == pytest.approx([0.7, 0.8], rel=1e-5)
    assert float(total_variation(LOG_Q, BATCH)) == pytest.approx(1 - 0.75, rel=1e-5)


def test_the_losses_are_mixed_as_they_are_named() -> None:
    ce = -math.log(0.8)  # of the only label that counts and is known
    soft = -(0.6 * math.log(0.5) + 0.2 * math.log(0.25) + 0.7 * math.log(0.8) + 0.3 * math.log(0.1))
    found = {name: float(loss(LOG_Q, BATCH)) for name, loss in LOSSES.items()}
    assert found["tv"] == pytest.approx(0.9 * 0.25 + 0.1 * ce, rel=1e-5)
    assert found["distil"] == pytest.approx(0.5 * ce + 0.5 * soft / 2, rel=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_down_a_loss_brings_the_drafter_nearer(name: str) -> None:
    def loss(logits: jax.Array) -> jax.Array:
        return LOSSES[name](jax.nn.log_softmax(logits, -1), BATCH | {"known": BATCH["counted"] * 0})

    logits = LOG_Q
    for _ in range(20):
        logits = logits - 0.5 * jax.grad(loss)(logits)
    near = total_variation(jax.nn.log_softmax(logits, -1), BATCH)
    assert float(near) < float(total_variation(LOG_Q, BATCH)) - 0.05


def test_block_lengths_are_mixed_and_a_step_is_the_same_again() -> None:
    corpus = Corpus(Tokenizer(models.BPE()), np.arange(3000), np.arange(9), {}, "")
    _, main, _ = stages(100, "tv")
    drawn = [draw(corpus, main, step) for step in range(80)]
    assert {gamma for _, gamma in drawn} == set(range(1, MAX_BLOCK + 1))
    tokens, gamma = draw(corpus, main, 7)
    assert gamma == drawn[7][1] and (tokens == drawn[7][0]).all()
    assert all(tokens[:, :-1].size == TOKENS_A_STEP for tokens, _ in drawn)


def test_stages_share_the_steps() -> None:
    assert [(s.name, s.steps) for s in stages(100, "tv")] == [
        ("ce", 20),
        ("tv", 70),
        ("router", 10),
    ]


def test_a_batch_is_cut_between_all_devices() -> None:
    """In a process of its own: the number of devices is set before jax starts."""
    program = (
        "import jax, numpy as np; from recipes.stdlib_mini.loop import placements;"
        "cut, replicated = placements();"
        "x, w = jax.device_put(np.zeros((8, 2)), cut), jax.device_put(np.zeros(3), replicated);"
        "print([s.data.shape for s in x.addressable_shards], len(w.addressable_shards))"
    )
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags}
    command = [sys.executable, "-c", program]
    seen = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == f"{[(2, 2)] * 4} 4"
