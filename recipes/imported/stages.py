"""The stages: CE, the main one, router (paper, section 3.2), all over cached features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from recipes.imported.batches import Features
from recipes.stdlib_mini.loop import Loss, Stage, optimise
from recipes.stdlib_mini.losses import drafter_logits
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind, initialise
from tandem_export.progress import Progress

Batch = dict[str, Any]
# (log q [M, V], batch) -> loss
Term = Callable[[jax.Array, Batch], jax.Array]


def stages(steps: int, loss: str) -> tuple[Stage, Stage, Stage]:
    """CE, the main stage and router; `steps` in all."""
    return (
        Stage("ce", steps=steps * 2 // 10, learning_rate=2e-3, seed=2, long_share=0.0),
        Stage(loss, steps=steps * 7 // 10, learning_rate=2e-3, seed=3),
        Stage("router", steps=steps // 10, learning_rate=3e-3, seed=4),
    )


def logits_of(config: TandemConfig, params: Params, batch: Batch, gamma: Any) -> jax.Array:
    """The drafter's logits `[M, V_drafter]` over the cached activations."""
    if not config.is_tandem:
        return drafter_logits(config, params, batch["tokens"], [], gamma)
    # Levels that no drafter layer reads are not cached: any array keeps their place in the list.
    cached = {level: batch[f"x{level}"] for level in set(config.layer_map)}
    filler = cached[config.layer_map[0]]
    activations = [cached.get(level, filler) for level in range(config.primary.num_layers + 1)]
    return drafter_logits(config, params, batch["tokens"], activations, gamma)


def mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Over the positions that count."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1)


def cross_entropy(log_q: jax.Array, batch: Batch) -> jax.Array:
    """Nats of the labels that the drafter knows."""
    own = jnp.take_along_axis(log_q, batch["labels"][:, None], 1)[:, 0]
    return -mean(own, batch["known"])


def soft_cross_entropy(log_q: jax.Array, batch: Batch) -> jax.Array:
    """Nats against the primary's largest probabilities."""
    of_top = jnp.take_along_axis(log_q, batch["top_row"], 1)
    return -mean((batch["top_p"] * of_top).sum(-1), batch["counted"])


def shared(log_q: jax.Array, batch: Batch) -> jax.Array:
    """1 - TV(q, p) `[M]`, of the primary's cached top tokens: the chance that a draft is accepted.

    What lies outside of them is left out, so it is a lower bound.
    """
    q = jnp.exp(jnp.take_along_axis(log_q, batch["top_row"], 1))
    return jnp.minimum(q, batch["top_p"]).sum(-1)


def total_variation(log_q: jax.Array, batch: Batch) -> jax.Array:
    """TV(q, p), at most: its mean over the positions that count."""
    return 1 - mean(shared(log_q, batch), batch["counted"])


# The paper's distillation, and one that is mostly what acceptance is.
LOSSES: dict[str, Term] = {
    "distil": lambda q, b: 0.5 * cross_entropy(q, b) + 0.5 * soft_cross_entropy(q, b),
    "tv": lambda q, b: 0.9 * total_variation(q, b) + 0.1 * cross_entropy(q, b),
}


def drafter_loss(config: TandemConfig, term: Term) -> Loss:
    """`term` of the drafter's distribution at a block length."""

    def loss(params: Params, batch: Batch, gamma: Any) -> jax.Array:
        return term(jax.nn.log_softmax(logits_of(config, params, batch, gamma), -1), batch)

    return loss  # type: ignore[return-value]


def router_loss(config: TandemConfig, drafter: Params) -> Loss:
    """Binary cross entropy of the predicted acceptance against 1 - TV."""

    def loss(params: Params, batch: Batch, gamma: Any) -> jax.Array:
        logits = logits_of(config, drafter, batch, gamma)
        label = shared(jax.nn.log_softmax(logits, -1), batch)
        predicted = bind(config, "router", params).logit(logits, drafter["embedding.weight"])
        return mean(optax.sigmoid_binary_cross_entropy(predicted, label), batch["counted"])

    return loss  # type: ignore[return-value]


def train_drafter(
    config: TandemConfig,
    start: Params,
    features: Features,
    steps: int,
    loss: str,
    folder: Path,
    progress: Progress,
) -> Params:
    """The drafter after CE and the main stage; each resumes where it stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus: Any = features
    ce, main, _ = stages(steps, loss)
    params = optimise(ce, corpus, start, drafter_loss(config, cross_entropy), folder, progress)
    return optimise(main, corpus, params, drafter_loss(config, LOSSES[loss]), folder, progress)


def train_router(
    config: TandemConfig,
    drafter: Params,
    features: Features,
    steps: int,
    folder: Path,
    progress: Progress,
) -> Params:
    """The router of a drafter that is done."""
    first = {name: jnp.asarray(v) for name, v in initialise(config, "router", 12).items()}
    corpus: Any = features
    stage = stages(steps, "")[2]
    return optimise(stage, corpus, first, router_loss(config, drafter), folder, progress)
