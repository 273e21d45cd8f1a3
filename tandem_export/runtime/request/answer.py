"""One answer while it grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from tandem_export.contract import STANDALONE_RULES, AcceptanceRule
from tandem_export.runtime.reference.threefry import sample_seed
from tandem_export.runtime.request.admission import Job
from tandem_export.runtime.request.result import Delta, FinishReason, Result
from tandem_export.runtime.request.stats import RequestStats
from tandem_export.runtime.request.text import TextStream
from tandem_export.runtime.rounds.inputs import RowSampling
from tandem_export.runtime.rounds.protocol import Registers


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A row's part in one round.

    Attributes:
      tokens, logprobs: what it committed, one or more each.
      drafted: drafts that were judged, or taken unjudged.
      stopped: whether the router ended the draft.
      drafter_runs: that the row took part in.
    """

    tokens: Sequence[int]
    logprobs: Sequence[float]
    drafted: int
    stopped: bool
    drafter_runs: int


class Sample:
    """The tokens of one answer, and when they end.

    Text is decoded as tokens come only where somebody looks at it: a stop string or a stream.
    """

    def __init__(self, job: Job, index: int, tokenizer: Tokenizer | None, *, stream: bool) -> None:
        self.job, self.index, self.stream = job, index, stream
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.stats = RequestStats(prompt_tokens=len(job.prompt))
        self._logprobs: list[float] = []
        self._text = None if tokenizer is None else TextStream(tokenizer, job.params.stop)
        self._watch = self._text is not None and (stream or bool(job.params.stop))
        self._reported = self._from_drafts = self._drafted = 0
        self._told: FinishReason | None = None
        self._began: float | None = None

    @property
    def history(self) -> tuple[int, ...]:
        """The prompt and the answer so far."""
        return (*self.job.prompt, *self.tokens)

    @property
    def registers(self) -> Registers:
        """Where the row stands: after the prompt, or where a lost row goes on."""
        history = self.history
        return Registers(
            position=len(history) - 1,
            last=history[-1],
            previous=history[-2:][0],
            budget=self.job.params.max_new_tokens - len(self.tokens),
        )

    @property
    def row(self) -> RowSampling:
        """The row's sampling inputs."""
        job = self.job
        return RowSampling(
            params=job.params,
            seed=sample_seed(job.params.seed, self.index),
            max_draft=job.max_draft,
            tau=job.tau,
            bias=job.bias,
        )

    def begin(self, at: float) -> None:
        """Notes when the prefill of the prompt began, on the clock of `time.perf_counter`."""
        self._began = at
        self.stats.queued_seconds = at - self.job.created

    def commit(self, part: Committed) -> None:
        """Takes a round's tokens up to the first that ends the answer; the rest is wasted.

        stop token 9, tokens 4 9 7: the answer gets 4 9, one token is wasted.
        """
        taken = 0
        if not self.tokens:
            self.stats.first_token_seconds = time.perf_counter() - self.job.created
        for token in part.tokens:
            taken += 1
            self.tokens.append(token)
            self.finish_reason = self._ended_by(token)
            if self.finish_reason is not None:
                break
        self._logprobs.extend(part.logprobs[:taken])
        self._drafted += part.drafted
        self._from_drafts += min(taken, self._count_round(part))
        self.stats.tokens += taken
        self.stats.wasted += len(part.tokens) - taken
        if self.finish_reason is not None:
            self.finish(self.finish_reason)

    def _ended_by(self, token: int) -> FinishReason | None:
        may_stop = len(self.tokens) >= self.job.params.min_tokens
        if may_stop and token in self.job.stops:
            return "stop"
        if self._watch and self._text is not None and self._text.push(token, may_stop=may_stop):
            return "stop"
        return "length" if len(self.tokens) >= self.job.params.max_new_tokens else None

    def finish(self, reason: FinishReason) -> None:
        """Ends the answer and its text."""
        self.finish_reason = reason
        if self._began is not None:
            self.stats.seconds = time.perf_counter() - self._began
        if self._text is None:
            return
        if not self._watch:
            ended = reason == "stop"
            self._text.push_all(self.tokens[:-1] if ended else self.tokens)
        self._text.finish()

    def _count_round(self, part: Committed) -> int:
        """Counts the row's part in a round; returns how many of its tokens were drafts."""
        rule, stats, count = self.job.params.graph_rule, self.stats, len(part.tokens)
        # The last token is the primary's, but for the rule that takes drafts alone.
        accepted = min(count if rule == AcceptanceRule.STANDALONE else count - 1, part.drafted)
        judged = rule not in STANDALONE_RULES
        stats.add_draft(part.drafted, accepted, verified=judged, stopped=part.stopped)
        stats.rounds += self.job.kind.role != "drafter"
        stats.drafter_runs += part.drafter_runs
        return accepted

    @property
    def has_news(self) -> bool:
        """Whether something came since the last `delta`."""
        return len(self.tokens) > self._reported or self.finish_reason != self._told

    def delta(self) -> Delta:
        """Returns what came since the last call."""
        self._told = self.finish_reason
        new = slice(self._reported, len(self.tokens))
        from_drafts, drafted = self._from_drafts, self._drafted
        self._reported, self._from_drafts, self._drafted = len(self.tokens), 0, 0
        return Delta(
            request=self.job.index,
            sample=self.index,
            text="" if self._text is None else self._text.take(),
            tokens=tuple(self.tokens[new]),
            logprobs=tuple(self._logprobs[new]) if self.job.params.logprobs else None,
            accepted=from_drafts,
            drafted=drafted,
            finish_reason=self.finish_reason,
        )

    def result(self) -> Result:
        """Returns the finished answer."""
        assert self.finish_reason is not None
        return Result(
            request=self.job.index,
            sample=self.index,
            text="" if self._text is None else self._text.text,
            tokens=tuple(self.tokens),
            logprobs=tuple(self._logprobs) if self.job.params.logprobs else None,
            finish_reason=self.finish_reason,
            stats=self.stats,
        )
