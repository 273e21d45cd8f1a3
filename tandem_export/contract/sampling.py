"""Lists the per-row inputs of a round: one table for graphs, requests, servers and documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tandem_export.contract.acceptance import AcceptanceRule

_LARGEST_INT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class SamplingInput:
    """One per-row input of a round.

    Attributes:
      name: of the input.
      dtype: numpy's name of it.
      words: values a row; the input is `[B]` if it is 1, else `[B, words]`.
      idle: what a row holds that takes no part.
      low, high: the allowed range.
      above_low: `low` itself is not allowed.
      router_only: the input of `round_router` alone.
      meaning: a phrase for documents.
    """

    name: str
    dtype: str
    words: int = 1
    idle: float = 0
    low: float = 0
    high: float = _LARGEST_INT
    above_low: bool = False
    router_only: bool = False
    meaning: str

    def shape(self, batch: int) -> tuple[int, ...]:
        """Returns the input's shape for `batch` rows."""
        return (batch,) if self.words == 1 else (batch, self.words)

    @property
    def rule(self) -> str:
        """The range as the sentence that an error begins with."""
        if self.above_low:
            return f"`{self.name}` must be above {self.low}, at most {self.high}"
        return f"`{self.name}` must be within {self.low} .. {self.high}"

    def allows(self, value: Any) -> Any:
        """Returns whether a value, or each of an array, is in the range; NaN is not."""
        above = value > self.low if self.above_low else value >= self.low
        return above & (value <= self.high)

    def idle_array(self, batch: int) -> np.ndarray:
        """Returns the input of a batch in which every row is idle."""
        return np.full(self.shape(batch), self.idle, self.dtype)


_RULES = [int(rule) for rule in AcceptanceRule]
SAMPLING_INPUTS: dict[str, SamplingInput] = {
    row.name: row
    for row in (
        SamplingInput(name="temperature", dtype="float32", high=1e6, meaning="0 is greedy"),
        SamplingInput(name="top_k", dtype="int32", meaning="tokens that may be drawn; 0 is off"),
        SamplingInput(
            name="top_p",
            dtype="float32",
            idle=1,
            high=1,
            above_low=True,
            meaning="probability mass of the tokens that may be drawn; 1 is off",
        ),
        SamplingInput(
            name="min_p",
            dtype="float32",
            high=1,
            meaning="least probability beside the most likely token's; 0 is off",
        ),
        SamplingInput(
            name="seed",
            dtype="uint32",
            words=2,
            high=2**32 - 1,
            meaning="low and high word of the request's 64-bit seed",
        ),
        SamplingInput(
            name="rule", dtype="int32", high=max(_RULES), meaning="a value of AcceptanceRule"
        ),
        SamplingInput(
            name="max_draft", dtype="int32", meaning="drafts a round; 0 is the primary alone"
        ),
        SamplingInput(
            name="tau",
            dtype="float32",
            high=1,
            router_only=True,
            meaning="the least predicted acceptance at which drafting goes on",
        ),
    )
}


def sampling_inputs(*, router: bool) -> list[SamplingInput]:
    """Returns the per-row inputs of `round`, or of `round_router` if `router`."""
    return [row for row in SAMPLING_INPUTS.values() if router or not row.router_only]
