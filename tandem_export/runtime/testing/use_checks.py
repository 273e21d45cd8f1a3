"""Checks of how an executor may be used: warm-up, slots, threads, errors, its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from threading import Thread
from typing import TypeVar

from tandem_export.runtime.rounds.protocol import PrefilledRow, RoundResult
from tandem_export.runtime.testing.subject import (
    PROMPTS,
    Check,
    Row,
    Subject,
    block,
    expected_text,
    insert_all,
    put,
    run_rows,
    starts,
    texts_of,
)

_ROW = Row(prompt=PROMPTS[1])
Answer = TypeVar("Answer")


def what_it_declares_is_true(subject: Subject) -> None:
    """Checks that slots and positions are numbers, and that `rounds` has the slots of the steps."""
    executor = subject.idle()
    assert type(executor.batch) is int and executor.batch >= 2
    assert type(executor.cache) is int and executor.cache >= 24
    if executor.rounds is None:
        return
    inputs = insert_all(subject, executor.rounds, (_ROW, _ROW))
    executor.release(0)
    executor.insert(executor.prefill(_ROW.prompt), 1, _ROW.registers)
    results = [executor.rounds.round(subject.kind, inputs) for _ in range(_ROW.budget)]
    assert texts_of(results, 0) == [], "a release reaches the rounds"
    assert texts_of(results, 1) == expected_text(subject, _ROW)


def nothing_compiles_after_warm_up(subject: Subject) -> None:
    """Checks steps, and whole rounds where there are any; what was not warm is counted."""
    with closing(subject.make()) as executor:
        put(executor, PROMPTS[1], 0)
        executor.primary_block(block([(1,)], executor.batch), starts([5], executor.batch))
        cold = executor.counters.compilations_after_warm_up
        assert cold == executor.counters.compilations > 0, "a request waited for graphs"
        for rounds in subject.drivers(executor):
            steps = rounds is not executor.rounds
            executor.warm_up([subject.kind], steps=steps)
            warm = executor.counters.warm
            executor.warm_up([subject.kind], steps=steps)
            assert executor.counters.warm == warm > 0, "what is compiled is compiled once"
            inputs = insert_all(subject, rounds, [_ROW], executor)
            rounds.round(subject.kind, inputs)
            assert executor.counters.compilations_after_warm_up == cold


def a_warm_up_disturbs_no_row(subject: Subject) -> None:
    """Checks a call in the middle of a row's rounds."""
    for rounds in subject.drivers():
        inputs = insert_all(subject, rounds, [_ROW])
        results = [rounds.round(subject.kind, inputs)]
        subject.executor.warm_up([subject.kind], steps=subject.executor.rounds is not rounds)
        results += [rounds.round(subject.kind, inputs) for _ in range(_ROW.budget)]
        assert texts_of(results, 0) == expected_text(subject, _ROW)


def a_released_slot_is_idle(subject: Subject) -> None:
    """Checks that a row may be released twice, the other goes on, and the slot is used again."""
    other = Row(prompt=PROMPTS[2])
    for rounds in subject.drivers():
        inputs = insert_all(subject, rounds, (_ROW, other))
        results = [rounds.round(subject.kind, inputs)]
        rounds.release(0)
        rounds.release(0)
        results.append(rounds.round(subject.kind, inputs))
        assert results[-1].count[0] == 0
        rounds.insert(subject.executor.prefill(_ROW.prompt), 0, _ROW.registers)
        after = [rounds.round(subject.kind, inputs) for _ in range(8)]
        assert texts_of([*results, *after], 1) == expected_text(subject, other)
        assert texts_of(after, 0) == expected_text(subject, _ROW)


def rows_that_change_places_go_on(subject: Subject) -> None:
    """Checks two rows in the middle of their rounds; a place that nobody moves to is idle."""
    other, batch = Row(prompt=PROMPTS[2]), subject.executor.batch
    for rounds in subject.drivers():
        inputs = insert_all(subject, rounds, (_ROW, other))
        before = [rounds.round(subject.kind, inputs)]
        rounds.resize([1, 0, *[None] * (batch - 2)])
        after = [rounds.round(subject.kind, inputs) for _ in range(other.budget)]
        assert texts_of(before, 0) + texts_of(after, 1) == expected_text(subject, _ROW)
        assert texts_of(before, 1) + texts_of(after, 0) == expected_text(subject, other)
        insert_all(subject, rounds, (_ROW, other))
        rounds.resize([None, 0, *[None] * (batch - 2)])
        after = [rounds.round(subject.kind, inputs) for _ in range(other.budget)]
        assert texts_of(after, 0) == [], "nobody moved there"
        assert texts_of(after, 1) == expected_text(subject, _ROW)


def other_threads_may_call_it(subject: Subject) -> None:
    """Checks threads one at a time: one prefills, another inserts, each round has its own."""
    for rounds in subject.drivers():
        results: list[RoundResult] = []
        prefilled = _in_a_thread(lambda: subject.executor.prefill(_ROW.prompt))
        inputs = insert_all(subject, rounds, [_ROW])
        _in_a_thread(lambda r=rounds, p=prefilled: r.insert(p, 0, _ROW.registers))
        for _ in range(_ROW.budget):
            results.append(_in_a_thread(lambda r=rounds, i=inputs: r.round(subject.kind, i)))
        assert texts_of(results, 0) == expected_text(subject, _ROW)


def _in_a_thread(call: Callable[[], Answer]) -> Answer:
    """Returns what `call` returns in a new thread; raises what it raises."""
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def after_an_error_slots_are_released_and_used_again(subject: Subject) -> None:
    """Checks that a row of another executor is refused, and that rows inserted again are right."""
    for rounds in subject.drivers():
        insert_all(subject, rounds, (_ROW, _ROW))
        try:
            rounds.insert(PrefilledRow(), 1, _ROW.registers)
        except AssertionError:
            pass
        else:
            raise AssertionError("a row of another executor must be refused")
        for slot in range(subject.executor.batch):
            rounds.release(slot)
        results = run_rows(subject, rounds, (None, _ROW))
        assert texts_of(results, 1) == expected_text(subject, _ROW)


def it_can_be_closed(subject: Subject) -> None:
    """Checks a close with rows in it, and once more."""
    executor = subject.make()
    put(executor, PROMPTS[1], 0)
    executor.close()
    executor.close()
    assert texts_of(run_rows(subject, next(subject.drivers()), [_ROW]), 0) == expected_text(
        subject, _ROW
    )


CHECKS: tuple[Check, ...] = (
    what_it_declares_is_true,
    nothing_compiles_after_warm_up,
    a_warm_up_disturbs_no_row,
    a_released_slot_is_idle,
    rows_that_change_places_go_on,
    other_threads_may_call_it,
    after_an_error_slots_are_released_and_used_again,
    it_can_be_closed,
)
