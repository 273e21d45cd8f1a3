"""The paper's measures of one token, and their means: the only place where they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Nats of a token that the drafter lacks are more: its logit is masked.
_IMPOSSIBLE = 1e4


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """How a distribution does at each of N tokens.

    Attributes:
      correct: `[N]` bool, whether its choice is the text's token.
      nats: `[N]` float64, its cross entropy against the text; infinite where it cannot say the
        token.
      agrees: `[N]` bool, whether its choice is the primary's.
      shared: `[N]` float64, 1 - TV(q, p) = sum over tokens of min(q, p), which is the chance that a
        sampled draft is accepted.
    """

    correct: np.ndarray
    nats: np.ndarray
    agrees: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Means:
    """Means over tokens.

    Attributes:
      tokens: how many.
      accuracy: share of the text's tokens that are its choice.
      ce: nats a token, over the text's tokens that it can say; None if there is none.
      known_share: of the text's tokens, those that it can say: fewer than all where the drafter has
        a smaller vocabulary.
      relative_accuracy: share of tokens where its choice is the primary's.
      relative_tv: mean total variation distance to the primary.
    """

    tokens: int
    accuracy: float
    ce: float | None
    known_share: float
    relative_accuracy: float
    relative_tv: float


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the distribution `[..., V]` of float32 logits `[..., V]`."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def score(logits: np.ndarray, labels: np.ndarray, p: np.ndarray, best: np.ndarray) -> Scores:
    """Returns how a drafter does at N tokens.

    Args:
      logits: `[N, V]` float32, the drafter's.
      labels: `[N]`, the text's tokens; -1 is one that the drafter cannot say.
      p: `[N, V]`, the primary's distribution. Where only its largest probabilities are given and
        the others are 0, `shared` is a lower bound.
      best: `[N]`, the primary's choice; -1 is one that the drafter cannot say.
    """
    choice = logits.argmax(-1)
    return Scores(
        correct=choice == labels,
        nats=_nats(logits, labels),
        agrees=choice == best,
        shared=np.minimum(softmax(logits), p).sum(-1, dtype=np.float64),
    )


def score_primary(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Returns how the primary, whose logits `[N, V]` these are, does at N tokens."""
    alike = np.ones(len(labels))
    choice = logits.argmax(-1)
    return Scores(
        correct=choice == labels, nats=_nats(logits, labels), agrees=alike == 1, shared=alike
    )


def _nats(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    top = logits.max(-1)
    total = np.exp(logits - top[:, None]).sum(-1, dtype=np.float64)
    label_logits = np.take_along_axis(logits, labels[:, None], -1)[:, 0]
    nats = np.log(total) + (top.astype(np.float64) - label_logits)
    return np.where((labels >= 0) & (nats < _IMPOSSIBLE), nats, np.inf)


def joined(parts: Sequence[Scores]) -> Scores:
    """Returns the scores of all parts, in order."""
    return Scores(
        correct=np.concatenate([part.correct for part in parts]),
        nats=np.concatenate([part.nats for part in parts]),
        agrees=np.concatenate([part.agrees for part in parts]),
        shared=np.concatenate([part.shared for part in parts]),
    )


def means(scores: Scores) -> Means:
    """Returns the means over all tokens of `scores`, of which there is at least one."""
    known = np.isfinite(scores.nats)
    return Means(
        tokens=len(known),
        accuracy=float(scores.correct.mean()),
        ce=float(scores.nats[known].mean()) if known.any() else None,
        known_share=float(known.mean()),
        relative_accuracy=float(scores.agrees.mean()),
        relative_tv=float(1 - scores.shared.mean()),
    )
