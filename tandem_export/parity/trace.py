"""What a run computed at each place, and where two runs first differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One answer.

    Attributes:
      tokens: n ids.
      values: float32, what tokens were chosen from: the primary's logits `[n, V]` of single steps,
        or the log-probabilities `[n]` (nats) of fused rounds.
    """

    tokens: tuple[int, ...]
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first difference of one answer to its reference.

    Attributes:
      case: which graphs, mode and drafter.
      prompt: its index.
      place: of the token in the answer.
      expected, got: token ids; equal where only the values differ.
      margin: by how much the reference's logits prefer `expected` to `got`; None where no logits
        were kept.
      difference: largest absolute difference of the values at that place; None where the tokens
        differ.
    """

    case: str
    prompt: int
    place: int
    expected: int
    got: int
    margin: float | None = None
    difference: float | None = None


def differences(
    reference: Sequence[Trace], got: Sequence[Trace], case: str, *, values: bool
) -> list[Divergence]:
    """Returns each answer's first difference, if any; with `values`, bits of numbers count."""
    pairs = enumerate(zip(reference, got, strict=True))
    firsts = [_first(one, other, case, i, values=values) for i, (one, other) in pairs]
    return [divergence for divergence in firsts if divergence is not None]


def _first(
    reference: Trace, got: Trace, case: str, prompt: int, *, values: bool
) -> Divergence | None:
    assert len(reference.tokens) == len(got.tokens), "both were asked for the same length"
    for place, (want, token) in enumerate(zip(reference.tokens, got.tokens, strict=True)):
        divergence = Divergence(case=case, prompt=prompt, place=place, expected=want, got=token)
        if want != token:
            return _with_margin(divergence, reference)
        if values and not _same_bits(reference.values[place], got.values[place]):
            return _with_difference(divergence, reference, got)
    return None


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Compares bits, not values: 0.0 and -0.0 differ, a NaN equals itself."""
    return bool(np.array_equal(np.asarray(one).view(np.uint32), np.asarray(other).view(np.uint32)))


def _with_margin(divergence: Divergence, reference: Trace) -> Divergence:
    if reference.values.ndim == 1:
        return divergence
    row = reference.values[divergence.place]
    margin = float(row[divergence.expected] - row[divergence.got])
    return dataclasses.replace(divergence, margin=margin)


def _with_difference(divergence: Divergence, reference: Trace, got: Trace) -> Divergence:
    gap = np.max(np.abs(reference.values[divergence.place] - got.values[divergence.place]))
    return dataclasses.replace(divergence, difference=float(gap))
