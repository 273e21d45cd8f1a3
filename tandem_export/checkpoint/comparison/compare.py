"""Compares a checkpoint with its owner's reference, output by output."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tandem_export.checkpoint.comparison.outputs import run_pair
from tandem_export.checkpoint.comparison.reference import Reference
from tandem_export.checkpoint.record import Checkpoint
from tandem_export.jsontypes import JsonObject

# The sigmoid's slope is at most 1/4: so much moves an acceptance if its logit moves by 1.
_SLOPE = 0.25


@dataclass(frozen=True, kw_only=True)
class OutputComparison:
    """One output.

    Attributes:
      output: its name, as in the reference.
      largest: the largest absolute difference.
      allowed: what it may be.
      sequence, position: where that is, in the reference's tokens.
      index: where in the output's last axis (a token, or a component); None for an acceptance.
      expected, got: the two values there.
    """

    output: str
    largest: float
    allowed: float
    sequence: int
    position: int
    index: int | None
    expected: float
    got: float

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed."""
        return self.largest <= self.allowed

    def to_dict(self) -> JsonObject:
        """Returns JSON values."""
        return dataclasses.asdict(self) | {"passed": self.passed}


def compare(
    checkpoint: Checkpoint, reference: Reference, tolerance: float
) -> list[OutputComparison]:
    """Returns how far each output of the reference is from the checkpoint's own.

    Args:
      checkpoint: the pair.
      reference: what its owner's program says.
      tolerance: the largest difference of a logit, in nats. An acceptance may differ by a quarter
        of it; other outputs by as much, times their largest value where that is above 1.
    """
    got = run_pair(checkpoint, reference.tokens, reference.prefix)
    return [
        _compared(name, expected, got[name], checkpoint, reference, tolerance)
        for name, expected in reference.outputs.items()
    ]


def _compared(
    name: str,
    expected: np.ndarray,
    got: np.ndarray,
    checkpoint: Checkpoint,
    reference: Reference,
    tolerance: float,
) -> OutputComparison:
    if name == "drafter.logits" and checkpoint.config.is_reduced:
        known = checkpoint.params["drafter"]["vocabulary.rows"] >= 0
        expected, got = np.where(known, expected, 0), np.where(known, got, 0)
    differences = np.nan_to_num(np.abs(expected - got), nan=np.inf)
    place = np.unravel_index(int(differences.argmax()), differences.shape)
    late = name in ("drafter.logits", "router.acceptance")
    return OutputComparison(
        output=name,
        largest=float(differences[place]),
        allowed=_allowed(name, expected, tolerance),
        sequence=int(place[0]),
        position=int(place[1]) + (reference.prefix if late else 0),
        index=int(place[2]) if len(place) > 2 else None,
        expected=float(expected[place]),
        got=float(got[place]),
    )


def _allowed(name: str, expected: np.ndarray, tolerance: float) -> float:
    if name == "router.acceptance":
        return tolerance * _SLOPE
    if name.endswith(".logits"):
        return tolerance
    return tolerance * max(1.0, float(np.abs(expected).max()))
