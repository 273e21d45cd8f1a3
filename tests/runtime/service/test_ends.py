"""Whatever ends a request ends that one alone, with one typed error, and frees what it had."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import pytest

from tandem_export.errors import (
    BundleError,
    ConfigError,
    DeadlineError,
    EngineClosedError,
    ExecutorError,
    QueueFullError,
)
from tandem_export.runtime import Delta, SamplingParams
from tandem_export.runtime.testing import DRAFTER, PRIMARY, primary_text, toy_engine
from tests.runtime.service.gate import gated_engine

LONG = SamplingParams(max_new_tokens=20)
TEXT = primary_text(PRIMARY, [1, 2, 3], 20)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.001)


def threads() -> int:
    return sum(thread.name == "tandem-engine" for thread in threading.enumerate())


def test_a_deadline_in_the_queue() -> None:
    engine, executor = gated_engine(batch=1)
    executor.rounds_left = threading.Semaphore(0)
    before, late = engine.submit([1, 2, 3], LONG), engine.submit([4], LONG, deadline=0.02)
    time.sleep(0.03)
    executor.rounds_left.release(99)
    with pytest.raises(
        DeadlineError, match=r"its deadline of 0.02 s. Got: it was waiting for a slot"
    ):
        late.result(10)
    assert list(before.result(10).tokens) == TEXT
    assert executor.prefills == [(1, 2, 3)]


def test_a_deadline_in_prefill() -> None:
    engine, executor = gated_engine(batch=1)
    executor.before = lambda act, tokens: time.sleep(0.03) if len(tokens) == 3 else None
    late, other = engine.submit([1, 2, 3], LONG, deadline=0.02), engine.submit([4], LONG)
    with pytest.raises(DeadlineError):
        late.result(10)
    assert list(other.result(10).tokens) == primary_text(PRIMARY, [4], 20)
    assert executor.free()


def test_a_deadline_in_a_round() -> None:
    engine, executor = gated_engine()
    executor.rounds_left = threading.Semaphore(2)
    late, other = engine.submit([1, 2, 3], LONG, deadline=0.05), engine.submit([4], LONG)
    seen: list[Delta] = []
    stream = iter(late)
    seen.append(next(stream))
    time.sleep(0.06)
    executor.rounds_left.release(99)
    with pytest.raises(DeadlineError, match=r"Got: \d+ tokens of it were there when it passed"):
        seen.extend(stream)
    tokens = [token for delta in seen for token in delta.tokens]
    assert tokens == TEXT[: len(tokens)], "what was delivered stands"
    assert list(other.result(10).tokens) == primary_text(PRIMARY, [4], 20)
    assert executor.free()


def test_a_full_line() -> None:
    engine, executor = gated_engine(batch=1, most_waiting=2)
    executor.rounds_left = threading.Semaphore(0)
    running = [engine.submit([1, 2, 3], LONG)]
    wait_for(lambda: len(executor.prefills) == 1)
    running += [engine.submit([1, 2, 3], LONG) for _ in range(2)]
    with pytest.raises(
        QueueFullError, match=r"at most 2 requests may wait for a slot. Got: one more"
    ):
        engine.submit([4], LONG)
    running[1].cancel()
    executor.rounds_left.release(999)
    assert [r.result(10).finish_reason for r in running] == ["length", "cancelled", "length"]
    # What many prompts of one call have too few places for waits with its caller.
    assert len(engine.generate([[1, 2, 3]] * 20, LONG)) == 20
    for _ in range(2):
        engine.submit([4], LONG).result(10)


@pytest.mark.parametrize("most", [0, -1])
def test_a_line_has_a_place(most: int) -> None:
    with pytest.raises(ConfigError, match=f"`most_waiting` must be at least 1. Got: {most}"):
        gated_engine(most_waiting=most)


def test_closing_drains() -> None:
    engine, executor = gated_engine(batch=1)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(3)]
    engine.close(drain=True)
    assert [list(request.result(0).tokens) for request in running] == [TEXT] * 3
    assert executor.free() and executor.closed
    for use in (
        lambda: engine.submit([1], LONG),
        lambda: engine.generate([[1]], LONG),
        lambda: engine.warm_up(LONG),
    ):
        with pytest.raises(EngineClosedError, match=r"must be open .* Got: it is closed"):
            use()
    engine.close()


def test_closing_without_drain_ends_streams_in_the_middle() -> None:
    engine, executor = gated_engine(batch=1)
    executor.rounds_left = threading.Semaphore(1)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(3)]
    stream = iter(running[0])
    first = next(stream)
    closing = threading.Thread(target=lambda: engine.close(drain=False))
    closing.start()
    executor.rounds_left.release(99)
    closing.join(10)
    assert list(first.tokens) == TEXT[: len(first.tokens)]
    with pytest.raises(EngineClosedError):
        list(stream)
    for request in running:
        with pytest.raises(EngineClosedError):
            request.result(0)
    assert executor.free() and executor.closed


def test_a_with_block_drains_unless_it_fails() -> None:
    with gated_engine()[0] as engine:
        request = engine.submit([1, 2, 3], LONG)
    assert list(request.result(0).tokens) == TEXT
    other, executor = gated_engine(batch=1)
    executor.rounds_left = threading.Semaphore(0)
    waiting = [other.submit([1, 2, 3], LONG) for _ in range(2)]
    with pytest.raises(KeyError), other:
        executor.rounds_left.release(99)
        raise KeyError("in the block")
    with pytest.raises(EngineClosedError):
        waiting[1].result(0)


def test_an_engine_that_nobody_has_leaves_nothing() -> None:
    gc.collect()  # the engines of other tests
    before = threads()
    engine, executor = toy_engine()
    engine.generate([[1, 2, 3]], LONG)
    assert threads() == before + 1
    gone = weakref.ref(executor)
    del engine, executor
    gc.collect()
    assert threads() == before and gone() is None


def test_a_request_that_nobody_reads_goes_on() -> None:
    engine, _ = gated_engine()
    engine.submit([1, 2, 3], LONG)
    engine.close(drain=True)
    assert engine.stats.requests == 1 and engine.stats.tokens == 20


def test_a_reader_that_cannot_be_woken_is_cancelled() -> None:
    engine, executor = gated_engine(batch=2)
    executor.rounds_left = threading.Semaphore(0)
    request, other = engine.submit([1, 2, 3], LONG), engine.submit([4], LONG)

    def gone() -> None:
        raise RuntimeError("the event loop is closed")

    request.when_changed(gone)
    executor.rounds_left.release(99)
    assert request.result(10).finish_reason == "cancelled"
    assert list(other.result(10).tokens) == primary_text(PRIMARY, [4], 20)
    assert executor.free()


def failing(acts: Sequence[str], *, at: int, times: int = 1, error: Exception | None = None):
    """Raises at the `at`-th of `acts` and the `times - 1` after it."""
    count = [0]

    def before(act: str, tokens: Sequence[int]) -> None:
        del tokens
        count[0] += act in acts
        if act in acts and at <= count[0] < at + times:
            raise error or MemoryError("no room on the device")

    return before


@pytest.mark.parametrize("act", ["round", "insert"])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_fault_of_the_executor_that_passes_harms_nobody(act: str, at: int) -> None:
    engine, executor = gated_engine(batch=2)
    executor.before = failing([act], at=at)
    prompts = [[1, 2, 3], [4], [9, 1, 7], [2, 2], [5]]
    sampled = SamplingParams(max_new_tokens=20, temperature=1.0, rule="gumbel", num_samples=2)
    want = toy_engine()[0].generate(prompts, sampled)
    got = engine.generate(prompts, sampled)
    assert [r.tokens for r in got] == [r.tokens for r in want]
    assert executor.free()


def test_a_prefill_that_fails_is_one_requests_error() -> None:
    engine, executor = gated_engine(batch=2)
    executor.before = failing(["prefill"], at=2)
    running = [engine.submit(prompt, LONG) for prompt in ([1, 2, 3], [4], [9, 1, 7])]
    message = (
        r"failed in the prefill of this request, which ends; others go on. Got: MemoryError: no"
    )
    with pytest.raises(ExecutorError, match=message) as raised:
        running[1].result(10)
    assert isinstance(raised.value.__cause__, MemoryError)
    assert list(running[0].result(10).tokens) == TEXT
    assert list(running[2].result(10).tokens) == primary_text(PRIMARY, [9, 1, 7], 20)
    assert executor.free()


def test_the_row_at_fault_ends_and_its_batch_mates_go_on() -> None:
    engine, executor = gated_engine(batch=4)

    def before(act: str, heads: Sequence[int]) -> None:
        if act == "round" and 9 in heads:
            raise ValueError("9 is poison")

    executor.before = before
    prompts = [[1, 2, 3], [4, 4], [9, 1, 7], [2, 2], [5, 5]]
    running = [engine.submit(prompt, LONG) for prompt in prompts]
    for prompt, request in zip(prompts, running, strict=True):
        if 9 in prompt:
            with pytest.raises(
                ExecutorError, match=r"failed in a round of this request.*9 is poison"
            ):
                request.result(10)
        else:
            assert list(request.result(10).tokens) == primary_text(PRIMARY, prompt, 20)
    assert executor.free()


def test_an_executor_that_is_broken_for_good_ends_all_and_the_engine_closes() -> None:
    engine, executor = gated_engine(batch=2)
    executor.before = failing(["round", "prefill", "insert"], at=4, times=10**6)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(5)]
    for request in running:
        with pytest.raises(ExecutorError):
            request.result(10)
    engine.close()
    assert executor.free()


def test_a_typed_error_is_the_executors_and_ends_those_that_run() -> None:
    engine, executor = gated_engine(batch=2)
    executor.before = failing(["round"], at=2, error=BundleError("the file was cut in place"))
    running = [engine.submit([1, 2, 3], LONG) for _ in range(3)]
    for request in running[:2]:
        with pytest.raises(BundleError, match="cut in place") as raised:
            request.result(10)
        assert raised.value is not raised.value.__cause__
    assert list(running[2].result(10).tokens) == TEXT
    assert executor.free()


def test_samples_of_one_prompt_end_together() -> None:
    engine, executor = gated_engine(batch=2)
    executor.before = failing(["round"], at=2, times=2)
    params = SamplingParams(max_new_tokens=20, num_samples=5, temperature=1.0)
    request, other = engine.submit([1, 2, 3], params), engine.submit([4], LONG)
    with pytest.raises(ExecutorError):
        request.results(10)
    assert list(other.result(10).tokens) == primary_text(PRIMARY, [4], 20)
    assert executor.free()


def test_a_caller_that_raises_ends_its_requests_alone() -> None:
    engine, executor = gated_engine(batch=2)
    other = engine.submit([4], LONG)

    def fail(_: Delta) -> None:
        raise KeyError("caller")

    with pytest.raises(KeyError):
        engine.generate([[1, 2, 3]] * 9, LONG, on_delta=fail)
    assert list(other.result(10).tokens) == primary_text(PRIMARY, [4], 20)
    engine.close()
    assert executor.free()


def test_a_fork_is_told_so_and_leaves_the_engine_alone() -> None:
    engine, _ = toy_engine(drafter=DRAFTER)
    child = os.fork()
    if child == 0:
        try:
            engine.submit([1])
        except Exception as error:
            os._exit("a fork has none of its threads" not in str(error))
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert list(engine.submit([1, 2, 3], LONG).result(10).tokens) == TEXT
