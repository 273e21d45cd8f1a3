"""The engine: requests in, answers out."""

from __future__ import annotations

import operator
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import groupby

from tokenizers import Tokenizer

from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime.interrupts import Interrupts
from tandem_export.runtime.request.admission import Limits, admit, round_kind
from tandem_export.runtime.request.answer import Sample
from tandem_export.runtime.request.chat import ChatTemplate
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.from_steps import StepRounds
from tandem_export.runtime.rounds.protocol import RoundKind, Rounds, Steps
from tandem_export.runtime.scheduler import Scheduler, ShouldCancel
from tandem_export.storage import encode_text

DRIVERS = ("fused", "steps")
Prompts = str | Sequence[str] | Sequence[Sequence[int]]


class Engine:
    """Serves requests over the slots of one executor; one call at a time.

    `tandem_export.load` makes one from a bundle.

    Attributes:
      executor: runs the graphs.
      limits: what the bundle's graphs can do.
      tokenizer: of the bundle; None serves token ids only.
      chat: makes prompts of messages; None if the bundle has no chat template.
      stats: everything since the engine was made or `reset_stats` was called.
    """

    def __init__(
        self,
        executor: Steps,
        limits: Limits,
        tokenizer: Tokenizer | None = None,
        *,
        driver: str = "fused",
        independent: bool = False,
        chat: ChatTemplate | None = None,
    ) -> None:
        """Takes over `executor`.

        Args:
          executor: runs the graphs; its slots belong to this engine.
          limits: what those graphs can do.
          tokenizer: None serves token ids only.
          driver: `fused` runs a round as one graph where the executor can; `steps` puts it
            together on the host.
          independent: the drafter does not see the primary.
          chat: makes prompts of messages; None if the model has no template.

        Raises:
          ConfigError: an unknown driver.
        """
        if driver not in DRIVERS:
            raise ConfigError(f"`driver` must be one of {DRIVERS}. Got: {driver!r}")
        self.limits, self.tokenizer, self.driver = limits, tokenizer, driver
        self.stats = EngineStats()
        self.chat = chat
        self.executor = executor
        self._steps = StepRounds(executor, independent=independent)
        self._fused = executor.rounds
        self._busy = threading.Lock()
        self._process = os.getpid()
        self._interrupts = Interrupts()

    def warm_up(self, params: SamplingParams) -> None:
        """Compiles what requests like `params` need, so that none of them waits for it.

        Raises:
          RequestError: the bundle has no graph for them, or this is a forked child.
        """
        self._check_process()
        kind, _ = round_kind(params, self.limits)
        self.executor.warm_up([kind], steps=self._rounds(kind) is self._steps)

    @property
    def fused(self) -> bool:
        """Whether the executor runs whole rounds; if not, every driver is `steps`."""
        return self._fused is not None

    def reset_stats(self) -> None:
        """Starts `stats` anew."""
        self.stats = EngineStats()

    def generate(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        on_delta: Callable[[Delta], None] | None = None,
        should_cancel: ShouldCancel | None = None,
    ) -> list[Result]:
        """Answers prompts; those of one mode and gamma share the batch.

        Args:
          prompts: a text, several texts, or several lists of token ids.
          params: for all prompts, or one for each; greedy by default.
          on_delta: called with what each round added to each answer.
          should_cancel: asked between rounds, with the index of a prompt that is not finished.

        Returns:
          `num_samples` results a prompt, in the order of prompts, then samples.

        Raises:
          RequestError: a request that this bundle cannot serve; none of them was started.
          KeyboardInterrupt: Ctrl-C, at the end of a prompt's prefill or of a round; a second one
            does not wait. The answers are lost, and the next call works as ever.
        """
        samples = self._admit(prompts, params, stream=on_delta is not None)
        with closing(self._run(samples, should_cancel)) as steps:
            for sample in steps:
                if on_delta is not None:
                    on_delta(sample.delta())
        return [sample.result() for sample in samples]

    def generate_stream(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        should_cancel: ShouldCancel | None = None,
    ) -> Iterator[Delta]:
        """Generates like `generate`, and yields what each round adds; closing it ends all."""
        samples = self._admit(prompts, params, stream=True)
        return self._stream(samples, should_cancel)

    def _stream(self, samples: list[Sample], should_cancel: ShouldCancel | None) -> Iterator[Delta]:
        with closing(self._run(samples, should_cancel)) as steps:
            for sample in steps:
                yield sample.delta()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            rule = "an engine answers in the process that loaded it: a fork has none of its threads"
            hint = 'Load it in the child, started by multiprocessing.get_context("spawn")'
            raise RequestError(f"{rule}. Got: a child of process {self._process}. {hint}.")

    def _admit(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None,
        *,
        stream: bool,
    ) -> list[Sample]:
        self._check_process()
        prompt_list = [prompts] if isinstance(prompts, str) else list(prompts)
        one = SamplingParams() if params is None else params
        each = [one] * len(prompt_list) if isinstance(one, SamplingParams) else list(one)
        if len(each) != len(prompt_list):
            raise RequestError(
                f"`params` must be one for all prompts, or one for each of {len(prompt_list)}. "
                f"Got: {len(each)}"
            )
        pairs = enumerate(zip(prompt_list, each, strict=True))
        jobs = [
            admit(i, self._encode(i, text), row_params, self.limits)
            for i, (text, row_params) in pairs
        ]
        return [
            Sample(job, n, self.tokenizer, stream=stream)
            for job in jobs
            for n in range(job.params.num_samples)
        ]

    def _encode(self, index: int, prompt: str | Sequence[int]) -> Sequence[int]:
        if not isinstance(prompt, str):
            return _token_ids(index, prompt)
        if self.tokenizer is None:
            raise RequestError(f"prompt {index} is text, but the engine has no tokenizer")
        return encode_text(self.tokenizer, prompt, what=f"prompt {index}", error=RequestError)

    def _rounds(self, kind: RoundKind) -> Rounds:
        if self._fused is None or self.driver == "steps" or kind.role == "drafter":
            return self._steps
        return self._fused

    def _run(
        self, samples: list[Sample], should_cancel: ShouldCancel | None
    ) -> Generator[Sample, None, None]:
        """Serves with signals held back, except between its steps: that time is the caller's."""
        steps = self._serve(samples, should_cancel)
        try:
            while True:
                with self._interrupts:
                    changed = next(steps, None)
                if changed is None:
                    return
                yield from changed
        finally:
            with self._interrupts:
                steps.close()

    def _serve(
        self, samples: list[Sample], should_cancel: ShouldCancel | None
    ) -> Generator[list[Sample], None, None]:
        if not self._busy.acquire(blocking=False):
            raise RequestError("the engine serves one call at a time; wait for the one in progress")
        start = time.perf_counter()
        compiled = self.executor.counters.compilations_after_warm_up
        try:
            for kind, group in _by_kind(samples):
                rounds = self._rounds(kind)
                queue = Scheduler(
                    self.executor, rounds, kind, self.stats, should_cancel, self._interrupts
                )
                with closing(queue.run(group)) as steps:
                    yield from steps
        finally:
            now = self.executor.counters.compilations_after_warm_up
            self.stats.compilations_after_warm_up += now - compiled
            self.stats.seconds += time.perf_counter() - start
            self._count(samples)
            self._busy.release()

    def _count(self, samples: list[Sample]) -> None:
        for sample in samples:
            self.stats.add_sample(sample.stats)
        self.stats.requests += len({sample.job.index for sample in samples})


def _token_ids(index: int, prompt: Sequence[int]) -> list[int]:
    try:
        return [operator.index(token) for token in prompt]  # numpy's integers too
    except TypeError as error:
        rule = "a text or a list of token ids; one tokenized prompt goes in a list of its own"
        raise RequestError(f"prompt {index} must be {rule}. Got: {str(prompt)[:60]}") from error


def _by_kind(samples: list[Sample]) -> Iterator[tuple[RoundKind, list[Sample]]]:
    """Samples grouped by kind, groups in the order of their first request."""
    kinds = list(dict.fromkeys(sample.job.kind for sample in samples))
    ordered = sorted(samples, key=lambda sample: kinds.index(sample.job.kind))
    for kind, group in groupby(ordered, key=lambda sample: sample.job.kind):
        yield kind, list(group)
