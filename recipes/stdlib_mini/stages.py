"""The stages after the primary (paper, section 3.2): each is a start, a loss and a number of steps.

    start         CE, own view only: the stand-in for the paper's pretrained drafter
    distil        start, then the distillation loss, own view only: the baseline
    tandem_ce     start plus projections, CE
    tandem_distil tandem_ce, then the distillation loss
    router        binary cross entropy against 1 - TV, everything else frozen

`distil` gets as many steps as `tandem_ce` and `tandem_distil` together.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from recipes.stdlib_mini.corpus import Corpus
from recipes.stdlib_mini.drafters import projections, start_params
from recipes.stdlib_mini.loop import Loss, Stage, optimise
from recipes.stdlib_mini.losses import (
    cross_entropy,
    distillation,
    drafter_logits,
    primary_pass,
    total_variation,
)
from recipes.stdlib_mini.shapes import independent
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind, initialise
from tandem_export.progress import Progress

START = Stage("start", steps=500, learning_rate=3e-3, seed=1)
TANDEM_CE = Stage("tandem_ce", steps=200, learning_rate=2e-3, seed=2)
TANDEM_DISTIL = Stage("tandem_distil", steps=3800, learning_rate=3e-3, seed=3)
DISTIL = Stage("distil", steps=4000, learning_rate=3e-3, seed=3)
ROUTER = Stage("router", steps=200, learning_rate=3e-3, seed=4)


class Trained(NamedTuple):
    """Everything that the recipe trains beside the primary."""

    start: Params
    distil: Params
    tandem_ce: Params
    tandem_distil: Params
    router: Params


def drafter_loss(config: TandemConfig, primary: Params, *, distil: bool) -> Loss:
    """The loss of a drafter stage; the primary is frozen."""

    def loss(params, tokens, gamma):
        inputs, labels = tokens[:, :-1], tokens[:, 1:].reshape(-1)
        logits, run = primary_pass(config, primary, inputs)
        own = drafter_logits(config, params, inputs, run.activations, gamma)
        if distil:
            return distillation(own, jax.lax.stop_gradient(logits), labels)
        return cross_entropy(own, labels)

    return loss


def router_loss(config: TandemConfig, primary: Params, drafter: Params) -> Loss:
    """Binary cross entropy of the predicted acceptance against 1 - TV(q, p) (decision 4)."""

    def loss(params, tokens, gamma):
        inputs = tokens[:, :-1]
        logits, run = primary_pass(config, primary, inputs)
        own = drafter_logits(config, drafter, inputs, run.activations, gamma)
        label = 1 - total_variation(own, logits)
        predicted = bind(config, "router", params).logit(own, drafter["embedding.weight"])
        return optax.sigmoid_binary_cross_entropy(predicted, label).mean()

    return loss


def train_drafters(
    config: TandemConfig, primary: Params, corpus: Corpus, folder: Path, progress: Progress
) -> Trained:
    """Runs every stage after the primary, each resumable."""
    alone = independent(config)

    def run(stage: Stage, params: Params, pair: TandemConfig, *, distil: bool) -> Params:
        loss = drafter_loss(pair, primary, distil=distil)
        return optimise(stage, corpus, params, loss, folder, progress)

    start = run(START, start_params(alone, primary, seed=11), alone, distil=False)
    joined = start | projections(config, primary, start, corpus)
    tandem_ce = run(TANDEM_CE, joined, config, distil=False)
    tandem = run(TANDEM_DISTIL, tandem_ce, config, distil=True)
    distilled = run(DISTIL, start, alone, distil=True)
    first = {name: jnp.asarray(v) for name, v in initialise(config, "router", 12).items()}
    loss = router_loss(config, primary, tandem)
    router = optimise(ROUTER, corpus, first, loss, folder, progress)
    return Trained(start, distilled, tandem_ce, tandem, router)
