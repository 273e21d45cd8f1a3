"""The engine: requests in, answers out."""

from __future__ import annotations

import dataclasses
import operator
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from types import TracebackType

from tokenizers import Tokenizer

from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime.request.admission import Job, Limits, admit, round_kind
from tandem_export.runtime.request.answer import Sample
from tandem_export.runtime.request.chat import ChatTemplate
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.request.stats import EngineStats
from tandem_export.runtime.rounds.protocol import Steps
from tandem_export.runtime.service.call import Call, ShouldCancel
from tandem_export.runtime.service.observer import Observer
from tandem_export.runtime.service.request import Request
from tandem_export.runtime.service.service import Service
from tandem_export.runtime.service.slots import drivers_of
from tandem_export.runtime.service.task import Task
from tandem_export.storage import encode_text

MOST_WAITING = 1024
Prompts = str | Sequence[str] | Sequence[Sequence[int]]


class Engine:
    """Serves requests over the slots of one executor, from any thread and many at once.

    `tandem_export.load` makes one from a bundle. Close it, or use it as a context manager, to free
    what it holds at a moment of your own; else that happens when it is collected.

    Attributes:
      executor: runs the graphs; the engine's own thread calls it.
      limits: what the bundle's graphs can do.
      tokenizer: of the bundle; None serves token ids only.
      chat: makes prompts of messages; None if the bundle has no chat template.
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
        most_waiting: int = MOST_WAITING,
        prefix_bytes: int = 0,
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
          most_waiting: how many requests may wait for a slot.
          prefix_bytes: what rows of prompts may hold that are kept for others with the same
            beginning.

        Raises:
          ConfigError: an unknown driver, a line of no place, or prefixes that cannot be kept.
        """
        self._drivers = drivers_of(executor, driver, independent=independent)
        self.limits = dataclasses.replace(limits, takes_bias=self._drivers.fused is None)
        self.executor, self.tokenizer, self.driver, self.chat = executor, tokenizer, driver, chat
        self._service = Service(
            self._drivers, limits, most_waiting=most_waiting, prefix_bytes=prefix_bytes
        )
        self._process = os.getpid()

    def warm_up(self, params: SamplingParams) -> None:
        """Compiles what requests like `params` need, so that none of them waits for it.

        Raises:
          RequestError: the bundle has no graph for them, or this is a forked child.
          EngineClosedError: the engine is closed.
        """
        self._check_process()
        kind, _ = round_kind(params, self.limits)
        self._service.run(lambda: self._drivers.warm_up(kind))

    @property
    def fused(self) -> bool:
        """Whether the executor runs whole rounds; if not, every driver is `steps`."""
        return self.executor.rounds is not None

    @property
    def stats(self) -> EngineStats:
        """Everything since the engine was made or `reset_stats` was called."""
        return self._service.stats

    def reset_stats(self) -> None:
        """Starts `stats` anew."""
        self._service.reset_stats()

    @property
    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait."""
        return self._service.load

    @property
    def closed(self) -> bool:
        """Whether it lets no request in any more."""
        return self._service.closed

    def observe(self, observer: Observer) -> None:
        """Tells `observer` of every round and every answer that ends, from now on."""
        self._service.observe(observer)

    def submit(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        deadline: float | None = None,
    ) -> Request:
        """Puts a request in line and returns at once.

        Args:
          prompt: a text, or token ids.
          params: greedy by default.
          deadline: seconds after which it ends with a `DeadlineError`, wherever it is then.

        Raises:
          RequestError: a request that this bundle cannot serve.
          QueueFullError: as many requests wait as may.
          EngineClosedError: the engine is closed.
        """
        (task,) = self._admit([prompt], params, stream=True, deadline=deadline)
        self._service.submit(task)
        return Request(self._service, task)

    def generate(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        on_delta: Callable[[Delta], None] | None = None,
        should_cancel: ShouldCancel | None = None,
        deadline: float | None = None,
    ) -> list[Result]:
        """Answers prompts; they share the slots with whatever else is in progress.

        Prompts for which the line has no room wait until it has.

        Args:
          prompts: a text, several texts, or several lists of token ids.
          params: for all prompts, or one for each; greedy by default.
          on_delta: called, in this thread, with what each round added to each answer.
          should_cancel: asked, in this thread, with the index of a prompt that is not finished.
          deadline: seconds after which a prompt ends with a `DeadlineError`.

        Returns:
          `num_samples` results a prompt, in the order of prompts, then samples.

        Raises:
          RequestError: a request that this bundle cannot serve; none of them was started.
          TandemError: what ended one of the requests; the others are cancelled.
          KeyboardInterrupt: Ctrl-C; the requests are cancelled.
        """
        tasks = self._admit(prompts, params, stream=on_delta is not None, deadline=deadline)
        call = Call(self._service, tasks, should_cancel)
        with closing(call.deltas()) as deltas:
            for delta in deltas:
                if on_delta is not None:
                    on_delta(delta)
        return call.results()

    def stream(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        should_cancel: ShouldCancel | None = None,
        deadline: float | None = None,
    ) -> Iterator[Delta]:
        """Generates like `generate`, and yields what each round adds; closing it cancels all.

        The requests get in line when the first delta is asked for.
        """
        tasks = self._admit(prompts, params, stream=True, deadline=deadline)
        return Call(self._service, tasks, should_cancel).deltas()

    def generate_stream(
        self,
        prompts: Prompts,
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        should_cancel: ShouldCancel | None = None,
    ) -> Iterator[Delta]:
        """Streams under the name that `stream` had in 0.1; the next release leaves it out."""
        text = (
            "`Engine.generate_stream` is `Engine.stream`; the old name goes with the next release"
        )
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return self.stream(prompts, params, should_cancel=should_cancel)

    def close(self, *, drain: bool = True) -> None:
        """Lets no request in any more, and frees what the engine holds; may be called again.

        Args:
          drain: finish the requests in progress first; if not, they end with `EngineClosedError`.
        """
        self._check_process()
        self._service.close(drain=drain)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(drain=kind is None)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            rule = "an engine answers in the process that loaded it: a fork has none of its threads"
            hint = 'Load it in the child, started by multiprocessing.get_context("spawn")'
            raise RequestError(f"{rule}. Got: a child of process {self._process}. {hint}.")

    def _admit(
        self,
        prompts: Prompts | Sequence[str | Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams] | None,
        *,
        stream: bool,
        deadline: float | None,
    ) -> list[Task]:
        self._check_process()
        prompt_list = [prompts] if isinstance(prompts, str) else list(prompts)
        one = SamplingParams() if params is None else params
        each = [one] * len(prompt_list) if isinstance(one, SamplingParams) else list(one)
        if len(each) != len(prompt_list):
            raise RequestError(
                f"`params` must be one for all prompts, or one for each of {len(prompt_list)}. "
                f"Got: {len(each)}"
            )
        ends = _ends(deadline)
        pairs = enumerate(zip(prompt_list, each, strict=True))
        jobs = [admit(i, self._encode(i, text), own, self.limits) for i, (text, own) in pairs]
        return [Task(job, self._samples(job, stream=stream), ends) for job in jobs]

    def _samples(self, job: Job, *, stream: bool) -> tuple[Sample, ...]:
        count = job.params.num_samples
        return tuple(Sample(job, n, self.tokenizer, stream=stream) for n in range(count))

    def _encode(self, index: int, prompt: str | Sequence[int]) -> Sequence[int]:
        if not isinstance(prompt, str):
            return _token_ids(index, prompt)
        if self.tokenizer is None:
            raise RequestError(f"prompt {index} is text, but the engine has no tokenizer")
        return encode_text(self.tokenizer, prompt, what=f"prompt {index}", error=RequestError)


def _ends(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    if not deadline > 0:
        raise ConfigError(
            f"`deadline` must be None or a number above 0, in seconds. Got: {deadline}"
        )
    return time.perf_counter() + deadline


def _token_ids(index: int, prompt: Sequence[int]) -> list[int]:
    try:
        return [operator.index(token) for token in prompt]  # numpy's integers too
    except TypeError as error:
        rule = "a text or a list of token ids; one tokenized prompt goes in a list of its own"
        raise RequestError(f"prompt {index} must be {rule}. Got: {str(prompt)[:60]}") from error
