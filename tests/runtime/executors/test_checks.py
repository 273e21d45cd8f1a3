"""Each check of the conformance suite fails on a toy executor that is broken in its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any

import numpy as np
import pytest

from tandem_export.runtime import (
    Begun,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    RowInputs,
)
from tandem_export.runtime.testing import (
    CACHE,
    CHECKS,
    PRIMARY,
    ToyExecutor,
    ToyRow,
    toy_subject,
)


class WrongLogits(ToyExecutor):
    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return super().primary_block(tokens, start) + np.float32(0.01)


class PrimaryAsDrafter(ToyExecutor):
    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        self.models = {"primary": PRIMARY, "drafter": PRIMARY}
        return super().drafter_step(tokens, start)


class RouterOfOneRow(ToyExecutor):
    def router(self, logits: np.ndarray) -> np.ndarray:
        return np.full_like(super().router(logits), super().router(logits)[0])


class LosesTheEndOfLongPrompts(ToyExecutor):
    def prefill(self, tokens: Sequence[int]) -> ToyRow:
        row = super().prefill(tokens)
        if len(tokens) > CACHE - 4:
            row.tokens[len(tokens) - 2] = 0
        return row


class PrefillsInARowOfRounds(ToyExecutor):
    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        chunks = super().prefilling(tokens, begun)
        while True:
            try:
                next(chunks)
            except StopIteration as end:
                return end.value
            yield
            self.caches["primary"][1] = 0


class ChangesTheRowItBeginsWith(ToyExecutor):
    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        row = yield from super().prefilling(tokens, begun)
        if begun is not None:
            assert isinstance(begun.row, ToyRow) and isinstance(row, ToyRow)
            begun.row.tokens[:] = row.tokens
        return row


class PrefillsInSlot1(ToyExecutor):
    def prefill(self, tokens: Sequence[int]) -> ToyRow:
        row = super().prefill(tokens)
        self.caches["primary"][1] = row.tokens
        return row


class OnePrefilledRow(ToyExecutor):
    buffer = np.zeros(CACHE, int)

    def prefill(self, tokens: Sequence[int]) -> ToyRow:
        self.buffer[:] = super().prefill(tokens).tokens
        return ToyRow(self.buffer)


class InsertsIntoFreshSlotsOnly(ToyExecutor):
    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        if (self.caches["primary"][slot] < 0).all():
            super().insert(row, slot, registers)


class MixesRows(ToyExecutor):
    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return super().primary_block(tokens, start) + np.float32(1e-6 * tokens[1, 0])


class RefusesIdleRows(ToyExecutor):
    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        idle = [at for at, row in zip(start, self.registers, strict=True) if row is None]
        assert not any(idle), "an idle row must start at 0"
        return super().primary_block(tokens, start)


class ReadsItsArgumentsLate(ToyExecutor):
    late: tuple[Any, ...] = ()

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        if self.late:
            super().primary_block(*self.late)
        self.late = (tokens, start)
        return super().primary_block(tokens, start)


class TakesResultsBack(ToyExecutor):
    logits = np.zeros(1)

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        self.logits = super().primary_block(tokens, start)
        return self.logits

    def release(self, slot: int) -> None:
        super().release(slot)
        self.logits[:] = 0


class ShortCache(ToyExecutor):
    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return super().primary_block(tokens, np.minimum(start, CACHE - 1 - tokens.shape[1]))


class ChangedInputs(ToyExecutor):
    """Rounds with other inputs than those that are passed."""

    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        return super().round(kind, dataclasses.replace(rows, **self.change(rows)))


class OneSeed(ChangedInputs):
    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        return {"seed": np.repeat(rows.seed[:1], 2, 0)}


class DraftsTheMost(ChangedInputs):
    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        return {"max_draft": np.full_like(rows.max_draft, 3)}


class OneRule(ChangedInputs):
    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        return {"rule": rows.rule * 0}


class OneThreshold(ChangedInputs):
    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        return {"tau": np.repeat(rows.tau[:1], 2)}


class KeepsTheFirstInputs(ChangedInputs):
    first: dict[str, np.ndarray] | None = None

    def change(self, rows: RowInputs) -> dict[str, np.ndarray]:
        self.first = self.first or rows.by_name()
        return self.first


class ChangedResult(ToyExecutor):
    """Rounds with other results than they ought to have."""

    def change(self, result: RoundResult) -> dict[str, Any]:
        raise NotImplementedError

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        result = super().round(kind, rows)
        return dataclasses.replace(result, **self.change(result))


class CountsNoDrafts(ChangedResult):
    def change(self, result: RoundResult) -> dict[str, Any]:
        return {"drafted": result.drafted * 0}


class ZerosAfterTheTokens(ChangedResult):
    def change(self, result: RoundResult) -> dict[str, Any]:
        return {"tokens": np.maximum(result.tokens, 0)}


class HotLogProbabilities(ChangedResult):
    def change(self, result: RoundResult) -> dict[str, Any]:
        return {"logprob": result.logprob / 2}


class MixesLogProbabilities(ChangedResult):
    def change(self, result: RoundResult) -> dict[str, Any]:
        return {"logprob": result.logprob + np.float32(1e-6) * result.count[1]}


class OneResult(ChangedResult):
    buffers: dict[str, np.ndarray] | None = None

    def change(self, result: RoundResult) -> dict[str, Any]:
        arrays = {name: v for name, v in vars(result).items() if isinstance(v, np.ndarray)}
        self.buffers = self.buffers or arrays
        for name, buffer in self.buffers.items():
            buffer[:] = arrays[name]
        return self.buffers


class OneTokenTooMany(ToyExecutor):
    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        more = dataclasses.replace(registers, budget=registers.budget + 1)
        super().insert(row, slot, more)


class ReleasesNothing(ToyExecutor):
    def release(self, slot: int) -> None:
        """Forgets to."""


class WarmsNothingUp(ToyExecutor):
    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        """Forgets to."""


class WarmsUpOverTheRows(ToyExecutor):
    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        super().warm_up(kinds, steps=steps)
        for cache in self.caches.values():
            cache[:] = 0


class ReleasesOnce(ToyExecutor):
    def release(self, slot: int) -> None:
        assert self.registers[slot] is not None, "idle already"
        super().release(slot)


class MovesNobody(ToyExecutor):
    def resize(self, order: Sequence[int | None]) -> None:
        """Stays as it is."""


class OneThread(ToyExecutor):
    thread = get_ident()

    def prefill(self, tokens: Sequence[int]) -> ToyRow:
        assert get_ident() == self.thread, "another thread"
        return super().prefill(tokens)


class DiesOfErrors(ToyExecutor):
    dead = False

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        self.dead = self.dead or not isinstance(row, ToyRow)
        super().insert(row, slot, registers)

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        if self.dead:
            self.registers = [None] * self.batch
        return super().round(kind, rows)


class TakesAnyRow(ToyExecutor):
    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        super().insert(row if isinstance(row, ToyRow) else self.prefill([1]), slot, registers)


class ClosesOnce(ToyExecutor):
    is_open = True

    def close(self) -> None:
        assert self.is_open, "closed already"
        self.is_open = False


BROKEN: list[tuple[str, Callable[..., ToyExecutor]]] = [
    ("blocks_give_the_primarys_logits", WrongLogits),
    ("drafter_steps_give_the_drafters_logits", PrimaryAsDrafter),
    ("the_router_predicts_each_row_by_itself", RouterOfOneRow),
    ("prompts_of_any_length_are_prefilled", LosesTheEndOfLongPrompts),
    ("a_prompt_in_chunks_is_the_prompt", PrefillsInARowOfRounds),
    ("a_prompt_may_begin_with_another_ones_row", ChangesTheRowItBeginsWith),
    ("a_prefill_changes_no_slot", PrefillsInSlot1),
    ("a_prefilled_row_serves_many_inserts", OnePrefilledRow),
    ("an_insert_replaces_whatever_stood_there", InsertsIntoFreshSlotsOnly),
    ("a_steps_row_does_not_depend_on_its_neighbours", MixesRows),
    ("an_idle_row_runs_along", RefusesIdleRows),
    ("an_array_that_was_passed_may_change", ReadsItsArgumentsLate),
    ("a_result_is_valid_until_the_next_step_of_its_kind", TakesResultsBack),
    ("blocks_reach_the_caches_end", ShortCache),
    ("a_round_is_a_draft_verified", CountsNoDrafts),
    ("a_result_has_the_shapes_that_are_documented", ZerosAfterTheTokens),
    ("log_probabilities_are_the_primarys_at_temperature_1", HotLogProbabilities),
    ("every_row_has_parameters_of_its_own", OneSeed),
    ("a_row_drafts_no_more_than_it_is_told", DraftsTheMost),
    ("a_row_stops_at_its_budget", OneTokenTooMany),
    ("a_rule_is_a_rows_own", OneRule),
    ("the_router_stops_a_row_at_its_own_threshold", OneThreshold),
    ("a_rounds_row_does_not_depend_on_its_neighbours", MixesLogProbabilities),
    ("new_inputs_hold_from_the_next_round", KeepsTheFirstInputs),
    ("a_rounds_result_is_the_callers", OneResult),
    ("what_it_declares_is_true", ReleasesNothing),
    ("nothing_compiles_after_warm_up", WarmsNothingUp),
    ("a_warm_up_disturbs_no_row", WarmsUpOverTheRows),
    ("a_released_slot_is_idle", ReleasesOnce),
    ("rows_that_change_places_go_on", MovesNobody),
    ("other_threads_may_call_it", OneThread),
    ("after_an_error_slots_are_released_and_used_again", DiesOfErrors),
    ("after_an_error_slots_are_released_and_used_again", TakesAnyRow),
    ("it_can_be_closed", ClosesOnce),
]


@pytest.mark.parametrize(("check", "make"), BROKEN)
def test_a_broken_toy_fails_the_check(check: str, make: Callable[..., ToyExecutor]) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](toy_subject(make))


def test_every_check_has_a_toy_that_fails_it() -> None:
    assert {check for check, _ in BROKEN} == set(CHECKS)
