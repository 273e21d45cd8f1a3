"""The stages: CE, distillation, router (paper, section 3.2), all over cached features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress

from recipes.imported.features import Features
from recipes.stdlib_mini.loop import Loss, Stage, optimise
from recipes.stdlib_mini.losses import drafter_logits
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind, initialise

Batch = dict[str, Any]


def stages(steps: int) -> tuple[Stage, Stage, Stage]:
    """CE, distillation and router; `steps` in all."""
    return (
        Stage("ce", steps=steps * 2 // 10, learning_rate=2e-3, seed=2, long_share=0.0),
        Stage("distil", steps=steps * 7 // 10, learning_rate=2e-3, seed=3),
        Stage("router", steps=steps // 10, learning_rate=3e-3, seed=4),
    )


def logits_of(config: TandemConfig, params: Params, batch: Batch, gamma: Any) -> jax.Array:
    """The drafter's logits `[M, V_drafter]` over the cached activations."""
    # Levels that no drafter layer reads are not cached: any array keeps their place in the list.
    cached = {level: batch[f"x{level}"] for level in set(config.layer_map)}
    filler = cached[config.layer_map[0]]
    activations = [cached.get(level, filler) for level in range(config.primary.num_layers + 1)]
    return drafter_logits(config, params, batch["tokens"][:, :-1], activations, gamma)


def _cross_entropy(log_q: jax.Array, batch: Batch) -> jax.Array:
    """Of the labels that the drafter knows."""
    labels, known = batch["tokens"][:, 1:].reshape(-1), batch["known"].reshape(-1)
    own = jnp.take_along_axis(log_q, labels[:, None], 1)[:, 0]
    return -(own * known).sum() / jnp.maximum(known.sum(), 1)


def drafter_loss(config: TandemConfig, *, distil: bool) -> Loss:
    """CE against the text; with `distil` half of it, and half against the primary's top tokens."""

    def loss(params: Params, batch: Batch, gamma: Any) -> jax.Array:
        log_q = jax.nn.log_softmax(logits_of(config, params, batch, gamma), -1)
        hard = _cross_entropy(log_q, batch)
        if not distil:
            return hard
        of_top = jnp.take_along_axis(log_q, batch["top_row"], 1)
        return 0.5 * hard - 0.5 * (batch["top_p"] * of_top).sum(-1).mean()

    return loss  # type: ignore[return-value]


def shared(config: TandemConfig, params: Params, batch: Batch, gamma: Any) -> jax.Array:
    """1 - TV(q, p) `[M]`, of the primary's cached top tokens: the chance that a draft is accepted.

    What lies outside of them is left out, so it is a lower bound.
    """
    q = jax.nn.softmax(logits_of(config, params, batch, gamma), -1)
    return jnp.minimum(jnp.take_along_axis(q, batch["top_row"], 1), batch["top_p"]).sum(-1)


def router_loss(config: TandemConfig, drafter: Params) -> Loss:
    """Binary cross entropy of the predicted acceptance against 1 - TV."""

    def loss(params: Params, batch: Batch, gamma: Any) -> jax.Array:
        label = shared(config, drafter, batch, gamma)
        logits = logits_of(config, drafter, batch, gamma)
        predicted = bind(config, "router", params).logit(logits, drafter["embedding.weight"])
        return optax.sigmoid_binary_cross_entropy(predicted, label).mean()

    return loss  # type: ignore[return-value]


def train(
    config: TandemConfig,
    start: Params,
    features: Features,
    steps: int,
    folder: Path,
    progress: Progress,
) -> tuple[Params, Params]:
    """Drafter and router after all stages; each stage resumes where it stopped."""
    ce, distil, router = stages(steps)
    corpus: Any = features
    params = optimise(ce, corpus, start, drafter_loss(config, distil=False), folder, progress)
    params = optimise(distil, corpus, params, drafter_loss(config, distil=True), folder, progress)
    first = {name: jnp.asarray(v) for name, v in initialise(config, "router", 12).items()}
    loss = router_loss(config, params)
    return params, optimise(router, corpus, first, loss, folder, progress)


def evaluate(config: TandemConfig, drafter: Params, features: Features) -> list[dict[str, float]]:
    """Held-out relative TV and agreement with the primary's choice, by block length."""

    @jax.jit
    def measure(params: Params, batch: Batch, gamma: Any) -> tuple[jax.Array, jax.Array]:
        guess = logits_of(config, params, batch, gamma).argmax(-1)
        tv = 1 - shared(config, params, batch, gamma)
        return tv.mean(), (guess == batch["top_row"][:, 0]).mean()

    rows = []
    for gamma in (1, 2, 4, 8):
        seen = [measure(drafter, batch, gamma) for batch in features.whole()]
        pairs = zip(*seen, strict=True)
        tv, agreement = (float(np.mean([float(x) for x in column])) for column in pairs)
        rows.append({"block": gamma, "relative_tv": tv, "relative_accuracy": agreement})
    return rows
