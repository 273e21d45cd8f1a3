"""What happened: drafted, accepted, wasted, by request and in total."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

from tandem_export.jsontypes import JsonObject


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _sums(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in zip_longest(a, b, fillvalue=0)]


@dataclass(kw_only=True)
class Counts:
    """Tokens and runs of one request's sample, or of everything an engine did.

    Attributes:
      tokens: tokens of the answers.
      wasted: tokens that were committed, then discarded: they came after a stop in their block.
      drafted: tokens that the drafter proposed to the primary.
      verified: those of them that the primary judged (none in the standalone modes).
      accepted: those of them that a round committed, by judgement or, standalone, without.
      rounds: forward passes of the primary: for an engine, of the whole batch; for a request, those
        that included its row.
      drafter_runs: drafter runs, counted likewise.
      router_stops: drafts that the router ended.
      drafted_at, accepted_at: the same by place in the draft, first place first.
    """

    tokens: int = 0
    wasted: int = 0
    drafted: int = 0
    verified: int = 0
    accepted: int = 0
    rounds: int = 0
    drafter_runs: int = 0
    router_stops: int = 0
    drafted_at: list[int] = field(default_factory=list[int])
    accepted_at: list[int] = field(default_factory=list[int])

    def add_draft(self, drafted: int, accepted: int, *, verified: bool, stopped: bool) -> None:
        """Counts one row's draft of one round."""
        self.drafted += drafted
        self.accepted += accepted
        self.verified += drafted if verified else 0
        self.router_stops += stopped
        if drafted > len(self.drafted_at):
            more = [0] * (drafted - len(self.drafted_at))
            self.drafted_at.extend(more)
            self.accepted_at.extend(more)
        for i in range(drafted):
            self.drafted_at[i] += 1
        for i in range(accepted):
            self.accepted_at[i] += 1

    @property
    def mean_accepted(self) -> float | None:
        """Accepted drafts per primary run; None without a run."""
        return _ratio(self.accepted, self.rounds)

    @property
    def tokens_per_round(self) -> float | None:
        """Committed tokens per primary run; None without a run."""
        return _ratio(self.tokens + self.wasted, self.rounds)

    @property
    def acceptance_at(self) -> list[float]:
        """Accepted / drafted for each place in the draft."""
        return [a / d for a, d in zip(self.accepted_at, self.drafted_at, strict=True)]

    def to_dict(self) -> JsonObject:
        """Returns plain JSON values; seconds where the name says so, ratios as fractions."""
        return dict(vars(self)) | {
            "drafted_at": list(self.drafted_at),
            "accepted_at": list(self.accepted_at),
            "mean_accepted": self.mean_accepted,
            "tokens_per_round": self.tokens_per_round,
            "acceptance_at": self.acceptance_at,
        }


@dataclass(kw_only=True)
class RequestStats(Counts):
    """One sample of one request.

    Attributes:
      prompt_tokens: length of the prompt.
      reused_tokens: how many of them a kept row of another prompt had already.
      queued_seconds: from the request's admission to the start of its prefill.
      prefill_seconds: of the request's prompt; its samples share one prefill.
      first_token_seconds: from the request's admission to the end of the round that gave the first
        token; 0 without one.
      seconds: from the start of the prefill to the last token.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    queued_seconds: float = 0.0
    first_token_seconds: float = 0.0
    prefill_seconds: float = 0.0
    seconds: float = 0.0

    def to_dict(self) -> JsonObject:
        """Returns what `Counts.to_dict` does, with `tokens_per_second`."""
        return super().to_dict() | {"tokens_per_second": _ratio(self.tokens, self.seconds)}


@dataclass(kw_only=True)
class EngineStats(Counts):
    """Everything since the engine was loaded or its statistics were reset.

    Attributes:
      requests, samples: that ended, in whichever way.
      prefill_seconds, insert_seconds, round_seconds: time inside the executor, by phase.
      host_seconds: the rest of `seconds`: scheduling, stops, text.
      seconds: time in which the engine was at work on some request.
      compilations_after_warm_up: graphs that a request had to wait for.
    """

    requests: int = 0
    samples: int = 0
    prefill_seconds: float = 0.0
    insert_seconds: float = 0.0
    round_seconds: float = 0.0
    seconds: float = 0.0
    compilations_after_warm_up: int = 0

    def add_request(self, samples: Iterable[RequestStats]) -> None:
        """Adds a request that has ended."""
        self.requests += 1
        for sample in samples:
            self._add_sample(sample)

    def _add_sample(self, sample: RequestStats) -> None:
        """Adds an answer's counts, but for runs: those are counted once for the whole batch."""
        self.samples += 1
        for name in ("tokens", "wasted", "drafted", "verified", "accepted", "router_stops"):
            setattr(self, name, getattr(self, name) + getattr(sample, name))
        self.drafted_at = _sums(self.drafted_at, sample.drafted_at)
        self.accepted_at = _sums(self.accepted_at, sample.accepted_at)

    @property
    def host_seconds(self) -> float:
        """Time at work, but outside the executor."""
        return self.seconds - self.prefill_seconds - self.insert_seconds - self.round_seconds

    def to_dict(self) -> JsonObject:
        """Returns what `Counts.to_dict` does, with `host_seconds` and `tokens_per_second`."""
        more = {"host_seconds": self.host_seconds}
        return super().to_dict() | more | {"tokens_per_second": _ratio(self.tokens, self.seconds)}
