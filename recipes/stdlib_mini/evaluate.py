"""Held-out measures of a drafter against the text and against the primary (the paper's table 1)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from recipes.stdlib_mini.corpus import Corpus
from recipes.stdlib_mini.losses import (
    cross_entropy,
    drafter_logits,
    primary_pass,
    total_variation,
)
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind

ROWS, LENGTH = 16, 256


def compare(
    config: TandemConfig,
    primary: Params,
    drafter: Params,
    corpus: Corpus,
    *,
    gamma: int,
    count: int = 24,
) -> dict[str, float]:
    """Means over `count` x 4,096 held-out tokens, drafting in blocks of `gamma`."""

    @jax.jit
    def measure(primary, drafter, tokens):
        inputs, labels = tokens[:, :-1], tokens[:, 1:].reshape(-1)
        logits, run = primary_pass(config, primary, inputs)
        own = drafter_logits(config, drafter, inputs, run.activations, gamma)
        guess = own.argmax(-1)
        return {
            "accuracy": (guess == labels).mean(),
            "ce": cross_entropy(own, labels),
            "relative_accuracy": (guess == logits.argmax(-1)).mean(),
            "relative_tv": total_variation(own, logits).mean(),
        }

    rows = [
        measure(primary, drafter, jnp.asarray(tokens))
        for tokens in corpus.held_out_batches(ROWS, LENGTH, count)
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def primary_measures(
    config: TandemConfig, primary: Params, corpus: Corpus, count: int = 24
) -> dict[str, float]:
    """The primary's own held-out accuracy and cross entropy (nats per token)."""

    @jax.jit
    def measure(primary, tokens):
        labels = tokens[:, 1:].reshape(-1)
        logits, _ = primary_pass(config, primary, tokens[:, :-1])
        return {
            "accuracy": (logits.argmax(-1) == labels).mean(),
            "ce": cross_entropy(logits, labels),
        }

    batches = corpus.held_out_batches(ROWS, LENGTH, count)
    rows = [measure(primary, jnp.asarray(tokens)) for tokens in batches]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def router_calibration(
    config: TandemConfig,
    primary: Params,
    drafter: Params,
    router: Params,
    corpus: Corpus,
    *,
    gamma: int = 4,
    count: int = 12,
) -> dict[str, object]:
    """Predicted against real acceptance 1 - TV, in ten bins of the prediction; see `calibration`.

    `error` is the expected calibration error: the mean gap of the bins, weighted by their tokens.
    """

    @jax.jit
    def measure(primary, drafter, router, tokens):
        inputs = tokens[:, :-1]
        logits, run = primary_pass(config, primary, inputs)
        own = drafter_logits(config, drafter, inputs, run.activations, gamma)
        predicted = bind(config, "router", router)(own, drafter["embedding.weight"])
        return predicted, 1 - total_variation(own, logits)

    batches = corpus.held_out_batches(ROWS, LENGTH, count)
    pairs = [measure(primary, drafter, router, jnp.asarray(tokens)) for tokens in batches]
    predicted = np.concatenate([np.asarray(p) for p, _ in pairs])
    real = np.concatenate([np.asarray(r) for _, r in pairs])
    return calibration(predicted, real)


def calibration(predicted: np.ndarray, real: np.ndarray) -> dict[str, object]:
    """Ten bins of the prediction `[N]` with what it really was, their mean gap, the correlation."""
    which = np.minimum((predicted * 10).astype(int), 9)
    bins = [
        {
            "from": b / 10,
            "tokens": int((which == b).sum()),
            "predicted": float(predicted[which == b].mean()),
            "real": float(real[which == b].mean()),
        }
        for b in range(10)
        if (which == b).any()
    ]
    gap = sum(row["tokens"] * abs(row["predicted"] - row["real"]) for row in bins)
    return {
        "bins": bins,
        "error": gap / len(real),
        "correlation": float(np.corrcoef(predicted, real)[0, 1]),
    }
