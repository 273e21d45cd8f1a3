"""What a request gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tandem_export.runtime.request.stats import RequestStats

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One answer.

    Attributes:
      request, sample: index of the prompt, and of the answer to it.
      text: decoded, without special tokens, cut before a stop string; empty without a tokenizer.
      tokens: ids; a stop token that ended the answer is the last of them.
      logprobs: nats, one a token, if the request asked for them.
      finish_reason: `stop` (stop token or string), `length` or `cancelled`.
      stats: this answer's own.
    """

    request: int
    sample: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: FinishReason
    stats: RequestStats


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What one round added to one answer.

    Attributes:
      request, sample: see `Result`.
      text: whole characters; all deltas of an answer make up its text.
      tokens: the round's tokens; text may lag behind them.
      logprobs: nats, one a token, if the request asked for them.
      accepted: how many of the tokens were drafts; they come first, before the primary's own.
      drafted: how many drafts the round judged, or took unjudged.
      finish_reason: set on an answer's last delta.
    """

    request: int
    sample: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    accepted: int
    drafted: int
    finish_reason: FinishReason | None
