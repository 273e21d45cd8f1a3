"""Held-out measures of a drafter and of its router, over cached features."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recipes.imported.batches import Features
from recipes.imported.stages import Batch, cross_entropy, logits_of, shared
from recipes.stdlib_mini.evaluate import calibration
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind

BLOCK_LENGTHS = (1, 2, 4, 8)
TEXTS = 128


def evaluate(config: TandemConfig, drafter: Params, features: Features) -> list[dict[str, float]]:
    """The paper's measures over held-out texts, by block length.

    `accuracy` is against the text, `ce` over the labels that the drafter knows, `relative_accuracy`
    against the primary's choice, `relative_tv` at most what it is.
    """

    @jax.jit
    def measure(params: Params, batch: Batch, gamma: Any) -> dict[str, jax.Array]:
        log_q = jax.nn.log_softmax(logits_of(config, params, batch, gamma), -1)
        guess = log_q.argmax(-1)
        rows = {
            "accuracy": (guess == batch["labels"]) * batch["known"],
            "relative_accuracy": guess == batch["best"],
            "relative_tv": 1 - shared(log_q, batch),
        }
        sums = {name: (value * batch["counted"]).sum() for name, value in rows.items()}
        nats = cross_entropy(log_q, batch) * batch["known"].sum()
        counts = {name: batch[name].sum() for name in ("counted", "known")}
        return sums | counts | {"ce": nats}

    rows = []
    for gamma in BLOCK_LENGTHS if config.is_tandem else (1,):
        seen = [measure(drafter, batch, gamma) for batch in features.all(TEXTS)]
        total = {name: sum(float(row[name]) for row in seen) for name in seen[0]}
        counted, known = total.pop("counted"), total.pop("known")
        ce = total.pop("ce") / known
        means = {name: value / counted for name, value in total.items()}
        rows.append({"block": gamma, "ce": ce} | means)
    return rows


def router_calibration(
    config: TandemConfig, drafter: Params, router: Params, features: Features, gamma: int = 4
) -> dict[str, object]:
    """Predicted against real acceptance over held-out texts; see `calibration`."""

    @jax.jit
    def measure(drafter: Params, router: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        logits = logits_of(config, drafter, batch, gamma)
        predicted = bind(config, "router", router)(logits, jnp.asarray(drafter["embedding.weight"]))
        return predicted, shared(jax.nn.log_softmax(logits, -1), batch)

    predicted, real = [], []
    for batch in features.all(TEXTS):
        counted = batch["counted"] > 0
        for rows, values in zip((predicted, real), measure(drafter, router, batch), strict=True):
            rows.append(np.asarray(values)[counted])
    return calibration(np.concatenate(predicted), np.concatenate(real))
