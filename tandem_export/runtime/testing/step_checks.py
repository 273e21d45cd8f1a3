"""Checks of an executor's single steps; see `Steps`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tandem_export.runtime.rounds.protocol import Begun, finish
from tandem_export.runtime.testing.subject import (
    PROMPTS,
    Check,
    Subject,
    block,
    put,
    start_of,
    starts,
)


def _close(subject: Subject, got: np.ndarray, want: np.ndarray, what: str) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=subject.tolerance, err_msg=what)


def blocks_give_the_primarys_logits(subject: Subject) -> None:
    """Blocks of both widths, over rows at different positions."""
    executor, prompts = subject.idle(), PROMPTS[1:]
    for slot, prompt in enumerate(prompts):
        put(executor, prompt, slot)
    at = starts([len(prompt) - 1 for prompt in prompts], executor.batch)
    for width in (1, subject.gamma + 1):
        rows = [(prompt[-1], 4, 2, 6, 1, 3, 5, 2)[:width] for prompt in prompts]
        logits = executor.primary_block(block(rows, executor.batch), at)
        assert logits.dtype == np.float32, "logits are float32"
        assert logits.shape[:2] == (executor.batch, width), "logits are [B, T, V]"
        for slot, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            want = subject.primary((*prompt[:-1], *row))[len(prompt) - 1 :]
            _close(subject, logits[slot], want, f"width {width}, slot {slot}")


def drafter_steps_give_the_drafters_logits(subject: Subject) -> None:
    """Checks two steps after a prompt, over rows at different positions."""
    executor, prompts = subject.idle(), PROMPTS[1:]
    for slot, prompt in enumerate(prompts):
        put(executor, prompt, slot)
    for step, drafts in enumerate(((), (4,))):
        tokens = block([(drafts or prompt)[-1:] for prompt in prompts], executor.batch)
        at = starts([len(prompt) - 1 + step for prompt in prompts], executor.batch)
        logits = executor.drafter_step(tokens, at)
        assert logits.dtype == np.float32 and logits.ndim == 2, "logits are [B, V] float32"
        for slot, prompt in enumerate(prompts):
            want = subject.drafter((*prompt, *drafts), len(prompt) - 1)
            _close(subject, logits[slot], want, f"step {step}, slot {slot}")


def the_router_predicts_each_row_by_itself(subject: Subject) -> None:
    """Checks that the acceptance of a row follows its logits to another slot."""
    if not subject.router:
        return
    executor = subject.idle()
    put(executor, PROMPTS[1], 0)
    logits = np.array(
        executor.drafter_step(block([PROMPTS[1][-1:]], executor.batch), starts([5], executor.batch))
    )
    logits[1] = np.linspace(0, 3, logits.shape[1])
    one = executor.router(logits).copy()
    other = executor.router(np.roll(logits, 1, 0))
    assert one.shape == (executor.batch,) and one.dtype == np.float32
    assert ((one >= 0) & (one <= 1)).all(), "a predicted acceptance is a probability"
    assert one[0] != one[1], "rows differ"
    np.testing.assert_array_equal(other, np.roll(one, 1))


def prompts_of_any_length_are_prefilled(subject: Subject) -> None:
    """Checks one token, some, and so many that the last chunk ends with the cache."""
    executor = subject.idle()
    for length in (1, 2, 5, executor.cache // 2, executor.cache):
        prompt = tuple(1 + (5 * i + length) % 12 for i in range(length))
        put(executor, prompt, 0)
        tokens, at = block([prompt[-1:]], executor.batch), starts([length - 1], executor.batch)
        want = subject.primary(prompt)[-1:]
        _close(subject, executor.primary_block(tokens, at)[0], want, f"{length} tokens")


def a_prefill_changes_no_slot(subject: Subject) -> None:
    """Checks that a row goes on after another prompt was prefilled and never inserted."""
    executor, prompt = subject.idle(), PROMPTS[1]
    put(executor, prompt, 1)
    executor.prefill(PROMPTS[2])
    tokens, at = block([(0,), prompt[-1:]], executor.batch), starts([0, 5], executor.batch)
    _close(
        subject,
        executor.primary_block(tokens, at)[1],
        subject.primary(prompt)[-1:],
        "a prefill changed a slot",
    )


def a_prefilled_row_serves_many_inserts(subject: Subject) -> None:
    """Checks two prefilled prompts; the first goes into both slots, before and after the second."""
    executor = subject.idle()
    first, second = (executor.prefill(prompt) for prompt in PROMPTS[1:])
    for prefilled, slot, prompt in (
        (first, 0, PROMPTS[1]),
        (second, 1, PROMPTS[2]),
        (first, 1, PROMPTS[1]),
        (second, 0, PROMPTS[2]),
    ):
        executor.insert(prefilled, slot, start_of(prompt))
        tokens, at = np.zeros((executor.batch, 1), np.int32), starts([], executor.batch)
        tokens[slot], at[slot] = prompt[-1], len(prompt) - 1
        want = subject.primary(prompt)[-1:]
        _close(subject, executor.primary_block(tokens, at)[slot], want, f"slot {slot}")


def an_insert_replaces_whatever_stood_there(subject: Subject) -> None:
    """Checks a short prompt after a long one that single steps went on with."""
    executor = subject.idle()
    put(executor, PROMPTS[2], 0)
    for at in (8, 9):
        executor.drafter_step(block([(6,)], executor.batch), starts([at], executor.batch))
        executor.primary_block(block([(6,)], executor.batch), starts([at], executor.batch))
    put(executor, (2, 9), 0)
    tokens, at = block([(9,)], executor.batch), starts([1], executor.batch)
    want = subject.drafter((2, 9), 1)
    _close(subject, executor.drafter_step(tokens, at)[0], want, "the drafter's rows")
    want = subject.primary((2, 9))[-1:]
    _close(subject, executor.primary_block(tokens, at)[0], want, "the primary's rows")


def a_steps_row_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """Checks a row bit for bit, beside an idle row and beside two others."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for neighbour in (None, *PROMPTS[:2]):
        executor = subject.idle()
        put(executor, PROMPTS[2], 0)
        if neighbour is not None:
            put(executor, neighbour, 1)
        other = (0, 1) if neighbour is None else (neighbour[-1], 3)
        at = starts([8, len(neighbour or (0,)) - 1], executor.batch)
        drafted = executor.drafter_step(block([(5,), other[:1]], executor.batch), at)[0].copy()
        width = subject.gamma + 1
        rows = [((5, 2) * width)[:width], (other * width)[:width]]
        judged = executor.primary_block(block(rows, executor.batch), at)[0].copy()
        seen.append((drafted, judged))
    for drafted, judged in seen[1:]:
        np.testing.assert_array_equal(drafted, seen[0][0])
        np.testing.assert_array_equal(judged, seen[0][1])


def an_idle_row_runs_along(subject: Subject) -> None:
    """Checks starts up to the cache's end; a row that is inserted later finds no trace."""
    executor, prompt, width = subject.idle(), PROMPTS[1], subject.gamma + 1
    put(executor, prompt, 0)
    for at in (0, 3, executor.cache - width):
        rows = [((prompt[-1], 2) * width)[:width], (7,) * width]
        logits = executor.primary_block(
            block(rows, executor.batch), starts([5, at], executor.batch)
        )
        want = subject.primary((*prompt[:-1], *rows[0]))[5:]
        _close(subject, logits[0], want, f"the idle row at {at}")
    put(executor, (4, 8), 1)
    tokens, at = block([(1,), (8,)], executor.batch), starts([0, 1], executor.batch)
    _close(subject, executor.primary_block(tokens, at)[1], subject.primary((4, 8))[-1:], "after")


def an_array_that_was_passed_may_change(subject: Subject) -> None:
    """Checks that the caller may write into tokens, starts and logits once a call has returned."""
    executor, prompt = subject.idle(), PROMPTS[1]
    put(executor, prompt, 0)

    def spoiling(step: Callable[..., np.ndarray], token: int, at: int) -> np.ndarray:
        tokens, start = block([(token,)], executor.batch), starts([at], executor.batch)
        logits = step(tokens, start)
        tokens[:], start[:] = 11, 5
        return logits[0]

    spoiling(executor.drafter_step, prompt[-1], 5)
    spoiling(executor.primary_block, prompt[-1], 5)
    drafted = spoiling(executor.drafter_step, 9, 6)
    _close(subject, drafted, subject.drafter((*prompt, 9), 6), "a step's arguments")
    if subject.router:
        logits = np.stack([drafted] * executor.batch)
        acceptance = executor.router(logits)
        before = acceptance.copy()
        logits[:] = 0
        np.testing.assert_array_equal(acceptance, before)
    judged = spoiling(executor.primary_block, 9, 6)
    _close(subject, judged, subject.primary((*prompt, 9))[-1:], "what the cache holds")


def a_result_is_valid_until_the_next_step_of_its_kind(subject: Subject) -> None:
    """Checks that logits stay what they are while other calls are made."""
    executor, prompt = subject.idle(), PROMPTS[1]
    put(executor, prompt, 0)
    tokens, at = block([prompt[-1:]], executor.batch), starts([5], executor.batch)
    judged = executor.primary_block(tokens, at)
    drafted = executor.drafter_step(tokens, at)
    kept = judged.copy(), drafted.copy()
    if subject.router:
        executor.router(np.array(drafted))
    put(executor, PROMPTS[2], 1)
    executor.release(1)
    np.testing.assert_array_equal(judged, kept[0])
    np.testing.assert_array_equal(drafted, kept[1])
    executor.primary_block(tokens, at)
    np.testing.assert_array_equal(drafted, kept[1])


def blocks_reach_the_caches_end(subject: Subject) -> None:
    """Checks a block whose last token is at the cache's last index."""
    executor, width = subject.idle(), subject.gamma + 1
    prompt = tuple(1 + (7 * i) % 12 for i in range(executor.cache - width + 1))
    put(executor, prompt, 1)
    row = ((prompt[-1], 4, 6) * width)[:width]
    at = starts([0, executor.cache - width], executor.batch)
    got = executor.primary_block(block([(1,) * width, row], executor.batch), at)[1]
    _close(subject, got, subject.primary((*prompt[:-1], *row))[-width:], "the last places")


def a_prompt_in_chunks_is_the_prompt(subject: Subject) -> None:
    """Checks steps of the other row between the chunks of a prompt, of two or more of them."""
    executor = subject.idle()
    put(executor, PROMPTS[1], 1)
    prompt = tuple(1 + i % 9 for i in range(20))
    chunks, between = executor.prefilling(prompt), 0
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            executor.insert(end.value, 0, start_of(prompt, 1))
            break
        between += 1
        tokens = block([(1,), PROMPTS[1][-1:]], executor.batch)
        executor.primary_block(tokens, starts([0, len(PROMPTS[1]) - 1], executor.batch))
    assert between >= 1, "this prompt is longer than a chunk"
    for slot, row in enumerate((prompt, PROMPTS[1])):
        tokens = block([row[-1:] if s == slot else (1,) for s in range(2)], executor.batch)
        at = starts([len(row) - 1 if s == slot else 0 for s in range(2)], executor.batch)
        logits = executor.primary_block(tokens, at)[slot, 0]
        _close(subject, logits, subject.primary(row)[-1], f"slot {slot}")


def a_prompt_may_begin_with_another_ones_row(subject: Subject) -> None:
    """Checks that the row is that of a fresh prefill, and that the other one stays as it was."""
    executor = subject.idle()
    if executor.chunk is None:
        return
    prompt = tuple(1 + i % 9 for i in range(executor.chunk + 2))
    other = (*prompt[: executor.chunk], 11, 8, 7)
    row = executor.prefill(prompt)
    assert row.nbytes > 0, "it holds memory"
    begun = Begun(row=row, count=executor.chunk)
    for slot, (tokens, made) in enumerate(
        ((other, finish(executor.prefilling(other, begun))), (prompt, row))
    ):
        executor.insert(made, slot, start_of(tokens, 1))
    at = starts([len(other) - 1, len(prompt) - 1], executor.batch)
    logits = executor.primary_block(block([other[-1:], prompt[-1:]], executor.batch), at)
    for slot, tokens in enumerate((other, prompt)):
        _close(subject, logits[slot, 0], subject.primary(tokens)[-1], f"slot {slot}")


CHECKS: tuple[Check, ...] = (
    blocks_give_the_primarys_logits,
    drafter_steps_give_the_drafters_logits,
    the_router_predicts_each_row_by_itself,
    prompts_of_any_length_are_prefilled,
    a_prompt_in_chunks_is_the_prompt,
    a_prompt_may_begin_with_another_ones_row,
    a_prefill_changes_no_slot,
    a_prefilled_row_serves_many_inserts,
    an_insert_replaces_whatever_stood_there,
    a_steps_row_does_not_depend_on_its_neighbours,
    an_idle_row_runs_along,
    an_array_that_was_passed_may_change,
    a_result_is_valid_until_the_next_step_of_its_kind,
    blocks_reach_the_caches_end,
)
