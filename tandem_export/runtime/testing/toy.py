"""Runs a toy pair in numpy: an executor without a model, for tests.

The pair's next-token logits are a function of the last two tokens.

It keeps a token cache per slot and model, so a wrong position, a stale row or a lost overwrite
changes the tokens that come out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tandem_export.runtime import (
    AcceptanceRule,
    Begun,
    Counters,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    RowInputs,
    chunks_after,
    draw,
    finish,
    judge,
    log_softmax,
    processed_log_probs,
)

V = 13
CACHE = 48
WIDTHS = (4, 8)
POISON = -1  # a cache place that nobody wrote


class ToyModel:
    """logits(a, b) = pair[a, b]: what follows the tokens a b; `-1` before the first one."""

    def __init__(self, seed: int, like: ToyModel | None = None, noise: float = 0.0) -> None:
        table = np.random.default_rng(seed).normal(0, 2, (V + 1, V, V))
        self.pair = (table if like is None else like.pair + noise * table).astype(np.float32)

    def logits(self, row: np.ndarray, at: int) -> np.ndarray:
        """Returns the logits `[V]` after the token at index `at` of a row of tokens."""
        assert row[at] != POISON and (at == 0 or row[at - 1] != POISON), "read of an unwritten row"
        return self.pair[row[at - 1] if at else -1, row[at]]


@dataclass(frozen=True)
class ToyRow(PrefilledRow):
    """The tokens of a prompt, `[S]`."""

    tokens: np.ndarray

    @property
    def nbytes(self) -> int:
        """See `PrefilledRow.nbytes`."""
        return self.tokens.nbytes


class ToyExecutor:
    """Tandem: the primary's block overwrites the drafter's rows. Independent: it does not.

    Attributes:
      prefills, chunks, calls: the prompts, widths of their chunks, and rounds so far.
      pause: seconds that a round takes at least.
      closed: whether it was closed.
    """

    def __init__(
        self,
        batch: int,
        primary: ToyModel,
        drafter: ToyModel,
        *,
        independent: bool = False,
        batches: Sequence[int] = (),
    ) -> None:
        self.independent = independent
        self.batch, self.batches = batch, tuple(sorted({batch, *batches}))
        self.cache, self.counters = CACHE, Counters()
        self.chunk: int | None = max(WIDTHS)
        self.models = {"primary": primary, "drafter": drafter}
        self.caches = {name: np.full((batch, CACHE), POISON) for name in self.models}
        self.registers: list[Registers | None] = [None] * batch
        self.prefills: list[tuple[int, ...]] = []
        self.ready: set[str] = set()
        self.calls: list[RoundKind] = []
        self.chunks: list[int] = []
        self.pause, self.closed = 0.0, False

    @property
    def rounds(self) -> ToyExecutor:
        """See `Steps.rounds`."""
        return self

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """See `Steps.warm_up`."""
        before = self.counters.compilations
        self._use("prefill", "insert")
        for kind in kinds:
            if steps:
                self._use("drafter_step", f"primary_block {kind.gamma + 1}", "router")
            else:
                self._use(str(kind))
        self.counters.warm += self.counters.compilations - before

    def _use(self, *graphs: str) -> None:
        """Counts what has not been used before; a real executor compiles it here."""
        self.counters.compilations += len(set(graphs) - self.ready)
        self.ready |= set(graphs)

    def prefill(self, tokens: Sequence[int]) -> ToyRow:
        """See `Steps.prefill`; a row of tokens."""
        row = finish(self.prefilling(tokens))
        assert isinstance(row, ToyRow)
        return row

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        """See `Steps.prefilling`."""
        self._use("prefill")
        self.prefills.append(tuple(tokens))
        row, count = np.full(CACHE, POISON), len(tokens) - 1
        if begun is not None:
            assert isinstance(begun.row, ToyRow)
            row[: begun.count] = begun.row.tokens[: begun.count]
        for number, (start, width) in enumerate(chunks_after(begun, count, WIDTHS, CACHE)):
            if number:
                yield
            own = tokens[start : min(start + width, count)]
            row[start : start + width] = [*own, *[0] * (width - len(own))]
            self.chunks.append(width)
        return ToyRow(row)

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Steps.insert`."""
        assert isinstance(row, ToyRow), "a row of another executor"
        self._use("insert")
        for cache in self.caches.values():
            cache[slot] = row.tokens
        self.registers[slot] = registers

    def release(self, slot: int) -> None:
        """See `Steps.release`."""
        self.registers[slot] = None

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Steps.resize`."""
        idle = np.full(CACHE, POISON)
        for name, cache in self.caches.items():
            self.caches[name] = np.stack([idle if at is None else cache[at] for at in order])
        self.registers = [None if at is None else self.registers[at] for at in order]
        self.batch = len(order)

    def close(self) -> None:
        """See `Steps.close`."""
        self.closed = True

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.primary_block`."""
        self._use(f"primary_block {tokens.shape[1]}")
        return np.stack([self._block(b, tokens[b], int(start[b])) for b in range(self.batch)])

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        """See `Steps.drafter_step`."""
        self._use("drafter_step")
        pairs = [(b, int(tokens[b, 0]), int(start[b])) for b in range(self.batch)]
        return np.stack([self._step(*pair) for pair in pairs])

    def router(self, logits: np.ndarray) -> np.ndarray:
        """See `Steps.router`: the probability of the most likely token."""
        self._use("router")
        return np.array([_likeliest(row) for row in logits], np.float32)

    def _block(self, slot: int, tokens: np.ndarray, start: int) -> np.ndarray:
        for name, cache in self.caches.items():
            if name == "primary" or not self.independent:
                cache[slot, start : start + len(tokens)] = tokens[: CACHE - start]
        if self.registers[slot] is None:
            return np.zeros((len(tokens), V), np.float32)
        row = self.caches["primary"][slot]
        return np.stack([self.models["primary"].logits(row, start + i) for i in range(len(tokens))])

    def _step(self, slot: int, token: int, start: int) -> np.ndarray:
        if self.registers[slot] is None:
            return np.zeros(V, np.float32)
        row = self.caches["drafter"][slot]
        row[start] = token
        return self.models["drafter"].logits(row, start)

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """See `Rounds.round`, in plain Python, one row after the other."""
        self._use(str(kind))
        self.calls.append(kind)
        time.sleep(self.pause)
        shape = (self.batch, kind.gamma + 1)
        result = RoundResult(
            tokens=np.full(shape, -1, np.int32),
            count=np.zeros(self.batch, np.int32),
            logprob=np.zeros(shape, np.float32),
            drafted=np.zeros(self.batch, np.int32),
            stopped=np.zeros(self.batch, np.int32),
            drafter_steps=kind.gamma,
        )
        for slot, registers in enumerate(self.registers):
            if registers is not None and registers.budget > 0:
                self._row_round(kind, slot, registers, rows, result)
        return result

    def _row_round(
        self, kind: RoundKind, b: int, at: Registers, rows: RowInputs, out: RoundResult
    ) -> None:
        rule, seed = AcceptanceRule(int(rows.rule[b])), rows.seed[b]

        def log_probs(logits: np.ndarray) -> np.ndarray:
            return processed_log_probs(
                logits,
                temperature=float(rows.temperature[b]),
                top_k=int(rows.top_k[b]),
                top_p=float(rows.top_p[b]),
                min_p=float(rows.min_p[b]),
            )

        reserve = 0 if rule == AcceptanceRule.STANDALONE else 1
        limit = min(int(rows.max_draft[b]), kind.gamma, at.budget - reserve)
        drafts: list[int] = []
        log_probs_drafter: list[np.ndarray] = []
        token = at.last
        if self.independent and limit and at.position:
            self._step(b, at.previous, at.position - 1)
        for i in range(limit):
            logits = self._step(b, token, at.position + i)
            log_probs_drafter.append(log_probs(logits))
            token = draw(log_probs_drafter[-1], seed, at.position + 1 + i)
            drafts.append(token)
            predicted = _likeliest(logits)
            if kind.role == "round_router" and predicted < rows.tau[b] and i + 1 < limit:
                out.stopped[b] = 1
                break
        padded = np.array([at.last, *drafts, *[0] * (kind.gamma - len(drafts))])
        logits = self._block(b, padded, at.position)
        log_probs_primary = [log_probs(x) for x in logits[: len(drafts) + 1]]
        tokens = judge(rule, drafts, log_probs_drafter, log_probs_primary, seed, at.position).tokens
        n = len(tokens)
        out.tokens[b, :n], out.count[b], out.drafted[b] = tokens, n, len(drafts)
        for i, token in enumerate(tokens):
            out.logprob[b, i] = log_softmax(logits[i])[token]
        self.registers[b] = Registers(
            position=at.position + n,
            last=tokens[-1],
            previous=tokens[-2] if n > 1 else at.last,
            budget=at.budget - n,
        )


def _likeliest(logits: np.ndarray) -> float:
    """Returns the probability of the most likely token."""
    return float(np.exp(log_softmax(logits)).max())


PRIMARY = ToyModel(1)
DRAFTER = ToyModel(2, like=PRIMARY, noise=0.4)
