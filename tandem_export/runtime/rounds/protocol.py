"""Defines what the runtime asks of an executor, and the plain records that pass between them."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tandem_export.runtime.rounds.inputs import RowInputs

RoundRole = Literal["round", "round_router", "drafter"]


@dataclass(frozen=True, kw_only=True)
class RoundKind:
    """Which graph runs a row's rounds; rows of one kind share a batch.

    `drafter` is the drafter alone, one step a round, gamma 0. `gamma` is that of the graph: a row
    may draft less (`max_draft`).
    """

    role: RoundRole
    gamma: int


@dataclass(frozen=True, kw_only=True)
class Registers:
    """Where a row stands when it is inserted.

    Attributes:
      position: tokens that the primary has processed.
      last: the last token of the prompt, at `position`, not processed yet.
      previous: the token before it (`last` again where there is none).
      budget: how many tokens the row may commit; position + 1 + budget is at most the cache.
    """

    position: int
    last: int
    previous: int
    budget: int


@dataclass(frozen=True, kw_only=True)
class RoundResult:
    """What one round committed.

    Attributes:
      tokens: `[B, W]` int32, -1 past `count`.
      count: `[B]` int32.
      logprob: `[B, W]` float32, nats, of the primary at temperature 1.
      drafted: `[B]` int32.
      stopped: `[B]` int32, 1 where the router ended the draft.
      drafter_steps: drafter runs of the whole batch.
    """

    tokens: np.ndarray
    count: np.ndarray
    logprob: np.ndarray
    drafted: np.ndarray
    stopped: np.ndarray
    drafter_steps: int


@dataclass(kw_only=True)
class Counters:
    """What an executor counts about itself.

    Attributes:
      compilations: graphs compiled so far.
      warm: those of them that `warm_up` asked for.
    """

    compilations: int = 0
    warm: int = 0

    @property
    def compilations_after_warm_up(self) -> int:
        """Graphs that a request had to wait for."""
        return self.compilations - self.warm


class PrefilledRow:
    """A prompt in both models' caches; only the executor that made it knows what is inside.

    It stays usable until it is collected, for any number of inserts into slots of that executor.

    Attributes:
      nbytes: how much memory it holds.
    """

    @property
    def nbytes(self) -> int:
        """How much memory it holds, where an executor can go on from it; else 0."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A row that another prompt begins with.

    Attributes:
      row: of a prompt that begins with the same tokens.
      count: how many of them are the same, a multiple of the executor's `chunk`.
    """

    row: PrefilledRow
    count: int


# Runs a prompt chunk by chunk, and returns its row in the end.
Prefilling = Generator[None, None, PrefilledRow]


def finish(prefilling: Prefilling) -> PrefilledRow:
    """Runs what is left of a prompt, and returns its row."""
    while True:
        try:
            next(prefilling)
        except StopIteration as end:
            return end.value


class Rounds(Protocol):
    """Drives rows: an executor's fused rounds, or single steps put together on the host.

    One thread at a time may call it, not always the same one. After an exception all rows are
    lost: release every slot and insert anew.
    """

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """Puts a prefilled row into `slot`, whatever stood there."""
        ...

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """Runs one round over all slots; rows without budget commit nothing.

        The result's arrays belong to the caller, and no later call changes them.
        """
        ...

    def release(self, slot: int) -> None:
        """Makes `slot` idle; it may be idle already."""
        ...

    def resize(self, order: Sequence[int | None]) -> None:
        """Changes to a batch of `len(order)` slots; see `Steps.resize`."""
        ...


class Steps(Protocol):
    """Runs single steps with `batch` slots over caches of `cache` positions.

    Calls come in this order: `warm_up` at any time; `prefill`, then `insert` of what it returned;
    then steps or rounds; `release`; `close` at the end. Single steps run over all slots;
    `start + T` of a block is at most `cache`, for idle rows too. The caller may change an array
    that it passed as soon as the call returns. Arrays that a step returns are valid until the next
    step of the same kind; who needs them longer copies them. A row's results do not depend on
    what is in other slots. One thread at a time may call it, not always the same one.
    """

    @property
    def batch(self) -> int:
        """Slots B now."""
        ...

    @property
    def batches(self) -> tuple[int, ...]:
        """What `resize` may change B to."""
        ...

    @property
    def cache(self) -> int:
        """Positions S of a row."""
        ...

    @property
    def chunk(self) -> int | None:
        """The width of a prompt's chunks but the last, if a prompt can begin with a row."""
        ...

    @property
    def counters(self) -> Counters:
        """What it counts about itself."""
        ...

    @property
    def rounds(self) -> Rounds | None:
        """Whole rounds as one graph each, over the same slots; None if there are steps alone."""
        ...

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """Compiles what rows of `kinds` need, by single steps if `steps`; counted as warm."""
        ...

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        """Runs the prompt's tokens but the last through both models, from position 0.

        It changes no slot.
        """
        ...

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """Does what `prefill` does, and stops after each chunk of the prompt but the last.

        With `begun` it leaves out the chunks that another prompt has run already: those that come
        then are the same as without it, and so is the row, bit for bit.

        Rounds, single steps and releases may come in between. Another prompt's prefill, or the
        insert of its row, ends this one: it must not be gone on with.
        """
        ...

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """Puts a prefilled row into `slot`, whatever stood there.

        Raises:
          AssertionError: a row of another kind of executor.
        """
        ...

    def release(self, slot: int) -> None:
        """Makes `slot` idle; it may be idle already."""
        ...

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Runs tokens `[B, T]` at start `[B]`, int32; returns logits `[B, T, V]` float32."""
        ...

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Runs tokens `[B, 1]` at start `[B]`, int32; returns logits `[B, V]` float32."""
        ...

    def router(self, logits: np.ndarray) -> np.ndarray:
        """Returns the predicted acceptance `[B]` float32 of drafter logits `[B, V]`."""
        ...

    def resize(self, order: Sequence[int | None]) -> None:
        """Changes to a batch of `len(order)` slots, one of `batches`.

        Slot i is now what slot `order[i]` was, and idle where that is None. Rows go on as if they
        had not been moved.
        """
        ...

    def close(self) -> None:
        """Gives back what it holds: weights, caches, and the slots of a server.

        It may be closed already. No other method may be called afterwards.
        """
        ...


# What running a chunk costs beside its tokens, in tokens of width: the weights are read once more.
# Measured on XLA CPU with pairs of 5 M parameters: 24 to 28.
_CHUNK_OVERHEAD = 24


def chunks_after(
    begun: Begun | None, count: int, widths: Sequence[int], cache: int
) -> list[tuple[int, int]]:
    """Returns the chunks of `prefill_chunks` that `begun` does not have."""
    done = 0 if begun is None else begun.count // max(widths)
    return list(prefill_chunks(count, widths, cache))[done:]


def prefill_chunks(count: int, widths: Sequence[int], cache: int) -> Iterator[tuple[int, int]]:
    """Yields (start, width) of the chunks that cover `count` tokens at the lowest cost.

    The last chunk may reach past the tokens (its rows there are garbage that nothing reads) but not
    past the cache: then it moves back and runs some tokens again.

        count 9, widths 4 and 8, cache 11:  (0, 8) (7, 4)      8 + 4 > 11, so it starts at 7
        count 40, widths 32 and 128:        (0, 32) (32, 32)   2 * 32 + 48 < 128 + 24
    """
    at, (most, rest) = 0, divmod(count, max(widths))
    for width in (max(widths),) * most + _cheapest(rest, tuple(sorted(widths, reverse=True))):
        start = min(at, cache - width)
        yield start, width
        at = start + width


@functools.cache
def _cheapest(count: int, widths: tuple[int, ...]) -> tuple[int, ...]:
    """Returns those of `widths` that cover `count` tokens at the lowest cost, widest first."""
    if count <= 0:
        return ()
    choices = [(width, *_cheapest(count - width, widths)) for width in widths]
    best = min(choices, key=lambda chosen: sum(chosen) + _CHUNK_OVERHEAD * len(chosen))
    return tuple(sorted(best, reverse=True))
