"""Held-out measures of a drafter against the text and against the primary (the paper's table 1)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recipes.stdlib_mini.corpus import Corpus
from recipes.stdlib_mini.losses import drafter_logits, primary_pass, total_variation
from tandem_export.config import TandemConfig
from tandem_export.measure.quality.scores import joined, means, score, score_primary, softmax
from tandem_export.model import Params, bind

ROWS, LENGTH = 16, 256
MEASURES = ("accuracy", "ce", "relative_accuracy", "relative_tv")


def compare(
    config: TandemConfig,
    primary: Params,
    drafter: Params,
    corpus: Corpus,
    *,
    gamma: int,
    count: int = 24,
) -> dict[str, Any]:
    """Means over `count` x 4,096 held-out tokens, drafting in blocks of `gamma`."""

    @jax.jit
    def run(primary, drafter, inputs):
        logits, seen = primary_pass(config, primary, inputs)
        return logits, drafter_logits(config, drafter, inputs, seen.activations, gamma)

    parts = []
    for tokens in corpus.held_out_batches(ROWS, LENGTH, count):
        outputs = run(primary, drafter, jnp.asarray(tokens[:, :-1]))
        logits, own = (np.asarray(each) for each in outputs)
        parts.append(score(own, tokens[:, 1:].ravel(), softmax(logits), logits.argmax(-1)))
    return {name: getattr(means(joined(parts)), name) for name in MEASURES}


def primary_measures(
    config: TandemConfig, primary: Params, corpus: Corpus, count: int = 24
) -> dict[str, Any]:
    """The primary's own held-out accuracy and cross entropy (nats per token)."""
    run = jax.jit(lambda params, inputs: primary_pass(config, params, inputs)[0])
    parts = [
        score_primary(np.asarray(run(primary, jnp.asarray(t[:, :-1]))), t[:, 1:].ravel())
        for t in corpus.held_out_batches(ROWS, LENGTH, count)
    ]
    own = means(joined(parts))
    return {"accuracy": own.accuracy, "ce": own.ce}


def router_calibration(
    config: TandemConfig,
    primary: Params,
    drafter: Params,
    router: Params,
    corpus: Corpus,
    *,
    gamma: int = 4,
    count: int = 12,
) -> dict[str, Any]:
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


def calibration(predicted: np.ndarray, real: np.ndarray) -> dict[str, Any]:
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
