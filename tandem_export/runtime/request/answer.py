"""One answer while it grows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tokenizers import Tokenizer

from tandem_export.contract import AcceptanceRule
from tandem_export.runtime.reference.threefry import sample_seed
from tandem_export.runtime.request.admission import Job
from tandem_export.runtime.request.result import Delta, FinishReason, Result
from tandem_export.runtime.request.stats import RequestStats
from tandem_export.runtime.request.text import TextStream
from tandem_export.runtime.rounds.inputs import RowSampling
from tandem_export.runtime.rounds.protocol import Registers


class Sample:
    """The tokens of one answer, and when they end.

    Text is decoded as tokens come only where somebody looks at it: a stop string or a stream.
    """

    def __init__(self, job: Job, index: int, tokenizer: Tokenizer | None, *, stream: bool) -> None:
        self.job, self.index = job, index
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.stats = RequestStats(prompt_tokens=len(job.prompt))
        self._logprobs: list[float] = []
        self._text = None if tokenizer is None else TextStream(tokenizer, job.params.stop)
        self._watch = self._text is not None and (stream or bool(job.params.stop))
        self._reported = 0

    @property
    def registers(self) -> Registers:
        """Where the row starts."""
        prompt = self.job.prompt
        return Registers(
            position=len(prompt) - 1,
            last=prompt[-1],
            previous=prompt[-2:][0],
            budget=self.job.params.max_new_tokens,
        )

    @property
    def row(self) -> RowSampling:
        """The row's sampling inputs."""
        params = self.job.params
        seed = sample_seed(params.seed, self.index)
        return RowSampling(params=params, seed=seed, max_draft=self.job.max_draft, tau=self.job.tau)

    def commit(self, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        """Takes a round's tokens up to the first that ends the answer; the rest is wasted.

        stop token 9, tokens 4 9 7: the answer gets 4 9, one token is wasted.
        """
        taken = 0
        for token in tokens:
            taken += 1
            self.tokens.append(token)
            self.finish_reason = self._ended_by(token)
            if self.finish_reason is not None:
                break
        self._logprobs.extend(logprobs[:taken])
        self.stats.tokens += taken
        self.stats.wasted += len(tokens) - taken
        if self.finish_reason is not None:
            self.finish(self.finish_reason)

    def _ended_by(self, token: int) -> FinishReason | None:
        if token in self.job.stops:
            return "stop"
        if self._watch and self._text is not None and self._text.push(token):
            return "stop"
        return "length" if len(self.tokens) >= self.job.params.max_new_tokens else None

    def finish(self, reason: FinishReason) -> None:
        """Ends the answer and its text."""
        self.finish_reason = reason
        self.stats.prefill_seconds = self.job.prefill_seconds
        self.stats.seconds = time.perf_counter() - self.job.started
        if self._text is None:
            return
        if not self._watch:
            ended = reason == "stop"
            self._text.push_all(self.tokens[:-1] if ended else self.tokens)
        self._text.finish()

    def count_round(self, drafted: int, count: int, stopped: int, drafter_runs: int) -> None:
        """Counts the row's part in a round: `count` tokens committed of `drafted` drafts."""
        params, stats = self.job.params, self.stats
        accepted = count if params.graph_rule == AcceptanceRule.STANDALONE else count - 1
        judged = params.graph_rule in (AcceptanceRule.LEVIATHAN, AcceptanceRule.GUMBEL)
        stats.add_draft(drafted, min(accepted, drafted), verified=judged, stopped=bool(stopped))
        stats.rounds += self.job.kind.role != "drafter"
        stats.drafter_runs += drafter_runs

    def delta(self) -> Delta:
        """Returns what came since the last call."""
        tokens = tuple(self.tokens[self._reported :])
        self._reported = len(self.tokens)
        return Delta(
            request=self.job.index,
            sample=self.index,
            text="" if self._text is None else self._text.take(),
            tokens=tokens,
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
