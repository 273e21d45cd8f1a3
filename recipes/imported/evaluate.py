"""Held-out measures of a drafter and of its router, over cached features."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from recipes.imported.batches import Features
from recipes.imported.calibrate import predictions, sigmoid
from recipes.imported.stages import Batch, logits_of
from recipes.stdlib_mini.evaluate import calibration
from tandem_export.config import TandemConfig
from tandem_export.measure.quality.scores import Scores, joined, means, score
from tandem_export.model import Params

BLOCK_LENGTHS = (1, 2, 4, 8)
TEXTS = slice(128)
# The router is calibrated on one half of the held-out texts and measured on the other.
CALIBRATED, MEASURED = slice(0, 128, 2), slice(1, 128, 2)


def evaluate(config: TandemConfig, drafter: Params, features: Features) -> list[dict[str, float]]:
    """The paper's measures over held-out texts, by block length; the TV is an upper bound."""
    run = jax.jit(lambda params, batch, gamma: logits_of(config, params, batch, gamma))
    rows = []
    for gamma in BLOCK_LENGTHS if config.is_tandem else (1,):
        parts = [
            _score(batch, np.asarray(run(drafter, batch, gamma))) for batch in features.all(TEXTS)
        ]
        rows.append({"block": gamma} | dataclasses.asdict(means(joined(parts))))
    return rows


def _score(batch: Batch, logits: np.ndarray) -> Scores:
    """Of the positions that count."""
    counted = batch["counted"] > 0
    labels = np.where(batch["known"] > 0, batch["labels"], -1)[counted]
    p = np.zeros((len(labels), logits.shape[-1]), np.float32)
    # Tokens that the drafter lacks have probability 0 at row 0: nothing is added there.
    np.add.at(p, (np.arange(len(p))[:, None], batch["top_row"][counted]), batch["top_p"][counted])
    return score(logits[counted], labels, p, batch["best"][counted])


def router_calibration(
    config: TandemConfig, drafter: Params, router: Params, features: Features, gamma: int = 4
) -> dict[str, Any]:
    """Predicted against real acceptance over held-out texts; see `calibration`."""
    logits, accepted = predictions(config, drafter, router, features.all(MEASURED), (gamma,))
    return calibration(sigmoid(logits), accepted)
