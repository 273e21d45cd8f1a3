"""From logits to the distribution that is sampled: temperature, top-k, top-p, min-p.

The reference, one row at a time in float32. The graphs compute the same in one device call.
"""

from __future__ import annotations

import numpy as np

_OUT = np.float32(-np.inf)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns log-probabilities of `[V]` logits, float32; entries of -inf stay -inf."""
    shifted = logits.astype(np.float32) - np.max(logits)
    return shifted - np.log(np.sum(np.exp(shifted)))


def _keep_top_k(logits: np.ndarray, top_k: int) -> np.ndarray:
    """Keeps what is >= the k-th largest logit, ties too."""
    if top_k <= 0 or top_k >= logits.size:
        return logits
    return np.where(logits >= np.sort(logits)[-top_k], logits, _OUT)


def _keep_top_p(logits: np.ndarray, top_p: float) -> np.ndarray:
    """Keeps a token while the probability of those before it is < top_p.

    p = [0.5, 0.3, 0.2], top_p = 0.6: before them 0, 0.5, 0.8, so the first two stay.
    """
    if top_p >= 1:
        return logits
    ordered = np.sort(np.exp(log_softmax(logits)))[::-1]
    before = np.cumsum(ordered, dtype=np.float32) - ordered
    # The first token stays whatever top_p is.
    last = max(1, int(np.sum(before < np.float32(top_p))))
    return np.where(np.exp(log_softmax(logits)) >= ordered[last - 1], logits, _OUT)


def _keep_min_p(logits: np.ndarray, min_p: float) -> np.ndarray:
    """Keeps p >= min_p * the largest p."""
    if min_p <= 0:
        return logits
    p = np.exp(log_softmax(logits))
    return np.where(p >= np.float32(min_p) * np.max(p), logits, _OUT)


def processed_log_probs(
    logits: np.ndarray,
    *,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> np.ndarray:
    """Returns the distribution that a token is drawn from.

    Args:
      logits: `[V]` float.
      temperature: 0 is greedy: all mass on the largest logit, the lowest id on a tie.
      top_k: keep the k largest, 0 is off.
      top_p: keep the fewest tokens that hold this mass, 1 is off.
      min_p: keep what has at least this share of the largest probability, 0 is off.

    Returns:
      `[V]` float32 log-probabilities; -inf where a token was taken out.
    """
    if temperature == 0:
        greedy = np.full(logits.shape, _OUT, np.float32)
        greedy[np.argmax(logits)] = 0.0
        return greedy
    scaled = logits.astype(np.float32) / np.float32(temperature)
    filtered = _keep_top_p(_keep_top_k(scaled, top_k), top_p)
    return log_softmax(_keep_min_p(filtered, min_p))


def choose(log_p: np.ndarray, noise: np.ndarray) -> int:
    """Returns the Gumbel-max draw: argmax(log_p + noise), the lowest id on a tie."""
    return int(np.argmax(log_p + noise))
