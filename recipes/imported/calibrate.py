"""Makes a router's prediction the share of drafts that is really accepted.

The drafter knows the texts that it was trained on: there it is accepted more often, and a router
that learned from them promises too much. A scale and a shift of its logit, fitted on texts that
neither has seen, are folded into its last layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recipes.imported.stages import Batch, logits_of, shared
from tandem_export.config import TandemConfig
from tandem_export.model import Params, bind

_STEPS = 50
# Keeps the fit finite where every prediction is the same.
_RIDGE = 1e-6


def predictions(
    config: TandemConfig,
    drafter: Params,
    router: Params,
    batches: Iterable[Batch],
    gammas: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """The router's logits `[N]`, and the chance `[N]` that the primary accepts a draft.

    Args:
      config: the pair as it is trained.
      drafter: its parameters.
      router: its parameters.
      batches: of held-out texts; positions that do not count are left out.
      gammas: block lengths, all of them over every text.
    """

    @jax.jit
    def run(drafter: Params, router: Params, batch: Batch, gamma: Any) -> tuple[jax.Array, ...]:
        logits = logits_of(config, drafter, batch, gamma)
        embedding = jnp.asarray(drafter["embedding.weight"])
        predicted = bind(config, "router", router).logit(logits, embedding)
        return predicted, shared(jax.nn.log_softmax(logits, -1), batch)

    pairs = []
    for batch in batches:
        counted = batch["counted"] > 0
        for gamma in gammas:
            pairs.append([np.asarray(v)[counted] for v in run(drafter, router, batch, gamma)])
    if not pairs:
        raise ValueError("a router is calibrated and measured on held-out texts: two at least")
    predicted, accepted = (np.concatenate(values) for values in zip(*pairs, strict=True))
    return predicted, accepted


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def calibrated(router: Params, logits: np.ndarray, accepted: np.ndarray) -> Params:
    """The router with the scale and shift of its logits that fit `accepted` best."""
    scale, shift = fit(logits, accepted)
    weight, bias = (np.asarray(router[name]) for name in ("out.weight", "out.bias"))
    last = {"out.weight": weight * scale, "out.bias": bias * scale + shift}
    return router | {name: value.astype(np.float32) for name, value in last.items()}


def fit(logits: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """(scale, shift) with the least cross entropy of sigmoid(scale * logits + shift), by Newton."""
    x = np.stack([logits, np.ones_like(logits)], 1).astype(np.float64)
    best = np.zeros(2)
    for _ in range(_STEPS):
        p = sigmoid(x @ best)
        curvature = (x * (p * (1 - p))[:, None]).T @ x / len(x) + _RIDGE * np.eye(2)
        best = best - np.linalg.solve(curvature, x.T @ (p - shares) / len(x))
    return float(best[0]), float(best[1])
