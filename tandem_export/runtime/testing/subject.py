"""An executor under test, with what its pair must answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tandem_export.runtime.reference.acceptance import draw
from tandem_export.runtime.reference.sampling import processed_log_probs
from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.rounds.from_steps import StepRounds
from tandem_export.runtime.rounds.inputs import RowInputs, RowSampling, idle_rows, with_row
from tandem_export.runtime.rounds.protocol import Registers, RoundKind, RoundResult, Rounds, Steps

GREEDY = SamplingParams()
# Prompts of different lengths, of ids that the smallest vocabulary has.
PROMPTS = ((3,), (1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12, 1, 2, 5))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An executor under test, and the models that it runs, computed some other way.

    Attributes:
      make: makes an executor of at least 2 slots and 24 positions.
      primary: returns the primary's logits `[n, V]` after each of n tokens.
      drafter: takes tokens and how many of them the primary has processed; returns the drafter's
        logits `[V]` after the last one.
      gamma: the longest draft of a bucket, at least 2; a primary block of width 1 is there too.
      router: whether the pair has one.
      independent: whether the drafter does not see the primary.
      tolerance: the largest difference of two logits that are the same.
    """

    make: Callable[[], Steps]
    primary: Callable[[Sequence[int]], np.ndarray]
    drafter: Callable[[Sequence[int], int], np.ndarray]
    gamma: int
    router: bool = True
    independent: bool = False
    tolerance: float = 1e-4

    @cached_property
    def executor(self) -> Steps:
        """The executor that most checks share."""
        return self.make()

    def idle(self) -> Steps:
        """Returns the shared executor with all its slots idle."""
        for slot in range(self.executor.batch):
            self.executor.release(slot)
        return self.executor

    def drivers(self, executor: Steps | None = None) -> Iterator[Rounds]:
        """Yields what drives rounds, all slots idle: the executor itself if it can, and steps."""
        used = executor or self.executor
        rounds = StepRounds(used, independent=self.independent)
        for driver in (rounds,) if used.rounds is None else (used.rounds, rounds):
            for slot in range(used.batch):
                driver.release(slot)
            yield driver

    @property
    def kind(self) -> RoundKind:
        """Rounds of drafts of `gamma` tokens."""
        return RoundKind(role="round", gamma=self.gamma)


Check = Callable[[Subject], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A request in one slot."""

    prompt: tuple[int, ...]
    budget: int = 8
    max_draft: int | None = None
    tau: float = 0
    params: SamplingParams = GREEDY

    @property
    def registers(self) -> Registers:
        """Where the row stands before its first round."""
        return start_of(self.prompt, self.budget)

    def sampling(self, gamma: int) -> RowSampling:
        """Returns the row's inputs of rounds that draft up to `gamma` tokens."""
        seed = np.array([self.params.seed % 2**32, self.params.seed >> 32], np.uint32)
        longest = gamma if self.max_draft is None else self.max_draft
        return RowSampling(params=self.params, seed=seed, max_draft=longest, tau=self.tau)


def start_of(prompt: Sequence[int], budget: int = 8) -> Registers:
    """Returns the registers of a row whose prompt was prefilled."""
    last, previous = prompt[-1], prompt[-2] if len(prompt) > 1 else prompt[-1]
    return Registers(position=len(prompt) - 1, last=last, previous=previous, budget=budget)


def put(executor: Steps, prompt: Sequence[int], slot: int) -> None:
    """Prefills a prompt into a slot, for single steps."""
    budget = min(8, executor.cache - len(prompt))
    executor.insert(executor.prefill(prompt), slot, start_of(prompt, budget))


def block(rows: Sequence[Sequence[int]], batch: int) -> np.ndarray:
    """Returns the tokens `[batch, T]` of a step; rows without any are zeros."""
    tokens = np.zeros((batch, len(rows[0])), np.int32)
    tokens[: len(rows)] = rows
    return tokens


def starts(rows: Sequence[int], batch: int) -> np.ndarray:
    """Returns the starts `[batch]` of a step; rows without any are at 0."""
    start = np.zeros(batch, np.int32)
    start[: len(rows)] = rows
    return start


def insert_all(
    subject: Subject, rounds: Rounds, rows: Sequence[Row | None], executor: Steps | None = None
) -> RowInputs:
    """Inserts each row into its slot; returns the inputs of their rounds."""
    used = executor or subject.executor
    inputs = idle_rows(used.batch)
    for slot, row in enumerate(rows):
        if row is not None:
            rounds.insert(used.prefill(row.prompt), slot, row.registers)
            inputs = with_row(inputs, slot, row.sampling(subject.gamma))
    return inputs


def texts_of(results: Sequence[RoundResult], slot: int) -> list[int]:
    """Returns what rounds committed for one row."""
    return [t for result in results for t in result.tokens[slot, : result.count[slot]].tolist()]


def run_rows(
    subject: Subject, rounds: Rounds, rows: Sequence[Row | None], kind: RoundKind | None = None
) -> list[RoundResult]:
    """Runs rows until each has spent its budget; returns the rounds."""
    inputs = insert_all(subject, rounds, rows)
    wanted = [row.budget if row is not None else 0 for row in rows]
    results: list[RoundResult] = []
    for _ in range(max(wanted)):
        counts = [len(texts_of(results, slot)) for slot in range(len(rows))]
        if counts == wanted:
            break
        results.append(rounds.round(kind or subject.kind, inputs))
    return results


def expected_text(subject: Subject, row: Row) -> list[int]:
    """Returns the primary's own text: greedy, or drawn with the row's seed (rule gumbel)."""
    tokens, params, sampling = list(row.prompt), row.params, row.sampling(0)
    for _ in range(row.budget):
        log_p = processed_log_probs(
            subject.primary(tokens)[-1].astype(np.float32),
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
        )
        tokens.append(draw(log_p, sampling.seed, len(tokens)))
    return tokens[len(row.prompt) :]


def expected_draft(subject: Subject, tokens: Sequence[int], count: int) -> list[int]:
    """Returns the `count` greedy drafts after `tokens`, all but the last of them processed."""
    text = list(tokens)
    for _ in range(count):
        text.append(int(np.argmax(subject.drafter(text, len(tokens) - 1))))
    return text[len(tokens) :]
