"""Puts rounds together on the host from single steps.

For executors without fused rounds, for debugging, and for the drafter alone. The tokens are those
of a fused round up to near-ties (P1): the host computes log and exp with numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tandem_export.contract import AcceptanceRule
from tandem_export.runtime.reference.acceptance import draw, judge, judge_greedy
from tandem_export.runtime.reference.sampling import processed_log_probs
from tandem_export.runtime.rounds.inputs import RowInputs
from tandem_export.runtime.rounds.protocol import (
    PrefilledRow,
    Registers,
    RoundKind,
    RoundResult,
    Steps,
)


def _log_probs(logits: np.ndarray, rows: RowInputs, slot: int) -> np.ndarray:
    return processed_log_probs(
        rows.biased(slot, logits),
        temperature=float(rows.temperature[slot]),
        top_k=int(rows.top_k[slot]),
        top_p=float(rows.top_p[slot]),
        min_p=float(rows.min_p[slot]),
    )


def _log_probs_of(logits: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """Returns log-probabilities `[n]` of tokens by rows of `[n, V]` logits, at temperature 1."""
    shifted = logits - logits.max(-1, keepdims=True)
    picked = np.take_along_axis(shifted, np.array(tokens)[:, None], -1)[:, 0]
    return picked - np.log(np.exp(shifted).sum(-1))


class _Registers:
    """The registers of every row, `[B]` int32 each; see `Registers`."""

    def __init__(self, batch: int) -> None:
        self.position, self.last, self.previous, self.budget = np.zeros((4, batch), np.int32)

    def set(self, slot: int, registers: Registers) -> None:
        """Makes a row stand where `registers` say."""
        self.position[slot], self.last[slot] = registers.position, registers.last
        self.previous[slot], self.budget[slot] = registers.previous, registers.budget

    def in_order(self, order: Sequence[int | None]) -> _Registers:
        """Returns the registers of rows that were moved; those of None are idle."""
        moved = _Registers(len(order))
        for slot, before in enumerate(order):
            if before is not None:
                moved.position[slot], moved.last[slot] = self.position[before], self.last[before]
                moved.previous[slot] = self.previous[before]
                moved.budget[slot] = self.budget[before]
        return moved

    def advance(self, slot: int, tokens: Sequence[int]) -> None:
        """Moves a row past the tokens that it commits."""
        self.previous[slot] = tokens[-2] if len(tokens) > 1 else self.last[slot]
        self.last[slot] = tokens[-1]
        self.position[slot] += len(tokens)
        self.budget[slot] -= len(tokens)


@dataclass
class _Draft:
    """The draft of every row.

    Attributes:
      tokens: `[B, G]` int32.
      log_probs_drafter: for each row, the distributions `[V]` from which its drafts were drawn.
      limit: `[B]`, how many tokens the row drafts.
      stopped: `[B]`, 1 where the router ended the draft.
      steps: drafter runs.
    """

    tokens: np.ndarray
    log_probs_drafter: list[list[np.ndarray]]
    limit: np.ndarray
    stopped: np.ndarray
    steps: int = 0


class StepRounds:
    """`Rounds` over an executor's single steps; it keeps the row registers on the host."""

    def __init__(self, executor: Steps, *, independent: bool) -> None:
        self._executor = executor
        self._independent = independent
        self._registers = _Registers(executor.batch)

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        """See `Rounds.insert`."""
        if len(self._registers.last) != self._executor.batch:
            # It was resized for whole rounds, while no row was driven from here.
            self._registers = _Registers(self._executor.batch)
        self._executor.insert(row, slot, registers)
        self._registers.set(slot, registers)

    def resize(self, order: Sequence[int | None]) -> None:
        """See `Rounds.resize`."""
        self._executor.resize(order)
        self._registers = self._registers.in_order(order)

    def release(self, slot: int) -> None:
        """See `Rounds.release`."""
        self._executor.release(slot)
        # An idle row runs along; from position 0 a block of any width ends inside the cache.
        self._registers.budget[slot] = self._registers.position[slot] = 0

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        """See `Rounds.round`."""
        if kind.role == "drafter":
            return self._drafter_alone(rows)
        draft = self._draft(kind, rows)
        state = self._registers
        block = np.concatenate([state.last[:, None], draft.tokens], 1)
        logits = self._executor.primary_block(block, state.position)
        result = self._empty(kind.gamma + 1, draft)
        for slot in np.flatnonzero(state.budget > 0).tolist():
            self._commit(result, slot, self._verdict(slot, draft, logits[slot], rows), logits[slot])
        return result

    def _draft(self, kind: RoundKind, rows: RowInputs) -> _Draft:
        state = self._registers
        batch = len(state.last)
        reserve = (rows.rule != AcceptanceRule.STANDALONE).astype(np.int32)
        limit = np.minimum(rows.max_draft, state.budget - reserve)
        tokens = np.zeros((batch, kind.gamma), np.int32)
        limit = np.clip(limit, 0, kind.gamma)
        draft = _Draft(tokens, [[] for _ in range(batch)], limit, np.zeros(batch, np.int32))
        if self._independent and limit.any():
            self._catch_up()
        while draft.steps < draft.limit.max():
            logits = self._draft_token(draft, rows)
            if kind.role == "round_router":
                self._consult_router(draft, logits, rows)
        return draft

    def _catch_up(self) -> None:
        """Runs an independent drafter over its last accepted draft, which it has not seen yet."""
        state = self._registers
        token = np.where(state.position > 0, state.previous, state.last)
        self._executor.drafter_step(token[:, None], np.maximum(state.position - 1, 0))

    def _draft_token(self, draft: _Draft, rows: RowInputs) -> np.ndarray:
        state, step = self._registers, draft.steps
        token = draft.tokens[:, step - 1] if step else state.last
        logits = self._executor.drafter_step(token[:, None], state.position + np.int32(step))
        draft.tokens[:, step] = np.argmax(logits, -1)
        for slot, bias in rows.biases.items():
            draft.tokens[slot, step] = np.argmax(logits[slot] + bias)
        for slot in np.flatnonzero((step < draft.limit) & (rows.temperature > 0)).tolist():
            log_probs_drafter = _log_probs(logits[slot], rows, slot)
            index = int(state.position[slot]) + 1 + step
            draft.tokens[slot, step] = draw(log_probs_drafter, rows.seed[slot], index)
            draft.log_probs_drafter[slot].append(log_probs_drafter)
        draft.steps += 1
        return logits

    def _consult_router(self, draft: _Draft, logits: np.ndarray, rows: RowInputs) -> None:
        predicted = self._executor.router(logits)
        stop = (predicted < rows.tau) & (draft.steps < draft.limit)
        draft.limit = np.where(stop, np.int32(draft.steps), draft.limit)
        draft.stopped |= stop

    def _verdict(
        self, slot: int, draft: _Draft, logits: np.ndarray, rows: RowInputs
    ) -> tuple[int, ...]:
        drafts = draft.tokens[slot, : draft.limit[slot]].tolist()
        rule = AcceptanceRule(int(rows.rule[slot]))
        if rows.temperature[slot] == 0:
            block = rows.biased(slot, logits[: len(drafts) + 1])
            likeliest = np.argmax(block, -1).tolist()
            return judge_greedy(rule, drafts, likeliest).tokens
        log_probs_primary = [_log_probs(row, rows, slot) for row in logits[: len(drafts) + 1]]
        position = int(self._registers.position[slot])
        seed = rows.seed[slot]
        return judge(
            rule, drafts, draft.log_probs_drafter[slot], log_probs_primary, seed, position
        ).tokens

    def _drafter_alone(self, rows: RowInputs) -> RoundResult:
        state = self._registers
        logits = self._executor.drafter_step(state.last[:, None], state.position)
        none = np.zeros(len(state.last), np.int32)
        result = self._empty(1, _Draft(none[:, None], [], none, none, steps=1))
        for slot in np.flatnonzero(state.budget > 0).tolist():
            index = int(state.position[slot]) + 1
            log_probs_drafter = _log_probs(logits[slot], rows, slot)
            token = draw(log_probs_drafter, rows.seed[slot], index)
            self._commit(result, slot, (token,), logits[slot][None])
        return result

    def _empty(self, width: int, draft: _Draft) -> RoundResult:
        batch = len(draft.limit)
        return RoundResult(
            tokens=np.full((batch, width), -1, np.int32),
            count=np.zeros(batch, np.int32),
            logprob=np.zeros((batch, width), np.float32),
            drafted=draft.limit,
            stopped=draft.stopped,
            drafter_steps=draft.steps,
        )

    def _commit(
        self, result: RoundResult, slot: int, tokens: tuple[int, ...], logits: np.ndarray
    ) -> None:
        """Writes a row's tokens into `result` and moves its registers past them."""
        count = len(tokens)
        result.tokens[slot, :count], result.count[slot] = tokens, count
        result.logprob[slot, :count] = _log_probs_of(logits[:count], tokens)
        self._registers.advance(slot, tokens)
