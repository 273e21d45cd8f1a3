"""Judges one row's drafts in plain Python: the reference of `graphs/round`.

A round at `position` = 5 with three drafts, the second of which is refused:

    index      5      6     7     8
    block    last    x0    x1    x2      what the primary reads
    primary    p0    p1    p2    p3      p_i judges x_i, p3 would be the bonus
    commits          x0     y            accepted = 1, y is drawn at index 7
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tandem_export.contract import AcceptanceRule, Stream
from tandem_export.runtime.reference.sampling import choose
from tandem_export.runtime.reference.threefry import NOISE_RANGE, gumbel, gumbel_of, uniform


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a round commits: the accepted drafts, then at most one token of the primary's."""

    tokens: tuple[int, ...]
    accepted: int


def draw(log_probs: np.ndarray, seed: np.ndarray, position: int, stream: int = Stream.TOKEN) -> int:
    """Draws the token at index `position` from `[V]` log-probabilities; seed `[2]` uint32.

    Noise is made only for the tokens that it can lift above the most likely one.
    """
    able = np.flatnonzero(log_probs > np.max(log_probs) - NOISE_RANGE)
    if able.size > log_probs.size // 2:
        return choose(log_probs, gumbel(seed, position, stream, log_probs.size))
    return int(able[choose(log_probs[able], gumbel_of(seed, position, stream, able))])


def residual_log_probs(log_probs_primary: np.ndarray, log_probs_drafter: np.ndarray) -> np.ndarray:
    """Returns log of normalised max(0, p - q), `[V]` float32; p where rounding leaves no mass."""
    residual = np.maximum(np.exp(log_probs_primary) - np.exp(log_probs_drafter), 0)
    mass = np.sum(residual)
    if mass <= 0:
        return log_probs_primary
    with np.errstate(divide="ignore"):
        return np.log(residual / mass)


def _leviathan(
    drafts: Sequence[int],
    log_probs_drafter: Sequence[np.ndarray],
    log_probs_primary: Sequence[np.ndarray],
    seed: np.ndarray,
    position: int,
) -> Verdict:
    for i, token in enumerate(drafts):
        index = position + 1 + i
        p, q = np.exp(log_probs_primary[i][token]), np.exp(log_probs_drafter[i][token])
        if not uniform(seed, index, Stream.ACCEPT) * q < p:
            residual = residual_log_probs(log_probs_primary[i], log_probs_drafter[i])
            primary_token = draw(residual, seed, index, Stream.RESIDUAL)
            return Verdict(tokens=(*drafts[:i], primary_token), accepted=i)
    return _bonus(drafts, log_probs_primary, seed, position)


def _gumbel(
    drafts: Sequence[int], log_probs_primary: Sequence[np.ndarray], seed: np.ndarray, position: int
) -> Verdict:
    for i, token in enumerate(drafts):
        primary_token = draw(log_probs_primary[i], seed, position + 1 + i)
        if primary_token != token:
            return Verdict(tokens=(*drafts[:i], primary_token), accepted=i)
    n = len(drafts)
    return Verdict(tokens=(*drafts, draw(log_probs_primary[n], seed, position + 1 + n)), accepted=n)


def _bonus(
    drafts: Sequence[int], log_probs_primary: Sequence[np.ndarray], seed: np.ndarray, position: int
) -> Verdict:
    n = len(drafts)
    bonus = draw(log_probs_primary[n], seed, position + 1 + n, Stream.RESIDUAL)
    return Verdict(tokens=(*drafts, bonus), accepted=n)


def judge(
    rule: AcceptanceRule,
    drafts: Sequence[int],
    log_probs_drafter: Sequence[np.ndarray],
    log_probs_primary: Sequence[np.ndarray],
    seed: np.ndarray,
    position: int,
) -> Verdict:
    """Applies `rule` to one row's drafts.

    Args:
      rule: see `AcceptanceRule`.
      drafts: g tokens, for the indices `position + 1 ..`.
      log_probs_drafter: g arrays `[V]`, what each draft was drawn from.
      log_probs_primary: g + 1 arrays `[V]`, processed as the drafter's, at the same offsets.
      seed: `[2]` uint32.
      position: index of the last committed token.
    """
    if rule == AcceptanceRule.LEVIATHAN:
        return _leviathan(drafts, log_probs_drafter, log_probs_primary, seed, position)
    if rule == AcceptanceRule.GUMBEL:
        return _gumbel(drafts, log_probs_primary, seed, position)
    if rule == AcceptanceRule.STANDALONE_FREE or not drafts:
        return _bonus(drafts, log_probs_primary, seed, position)
    return Verdict(tokens=tuple(drafts), accepted=len(drafts))


def judge_greedy(
    rule: AcceptanceRule, drafts: Sequence[int], primary_tokens: Sequence[int]
) -> Verdict:
    """Applies `rule` at temperature 0, from the primary's g + 1 most likely tokens alone."""
    n = len(drafts)
    if rule == AcceptanceRule.STANDALONE and drafts:
        return Verdict(tokens=tuple(drafts), accepted=n)
    if rule in (AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL):
        pairs = enumerate(zip(drafts, primary_tokens, strict=False))
        n = next((i for i, (draft, choice) in pairs if draft != choice), n)
    return Verdict(tokens=(*drafts[:n], primary_tokens[n]), accepted=n)
