"""Requests of all modes, from many threads at once: each gets the answer of its solo run."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from tandem_export.errors import ConfigError, RequestError
from tandem_export.runtime import MODES, Result, RoundKind, SamplingParams
from tandem_export.runtime.testing import PRIMARY, primary_text, toy_engine
from tests.runtime.service.gate import gated_engine

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4], [2, 2], [9, 1, 7]]
LONG = SamplingParams(max_new_tokens=20)

SAMPLING: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([0.7, 1.3]),
            "top_k": st.sampled_from([0, 5]),
            "seed": st.integers(0, 3),
            "rule": st.sampled_from(["leviathan", "gumbel"]),
        }
    ),
)
PARAMS = st.builds(
    lambda sampling, **rest: SamplingParams(**sampling, **rest),
    SAMPLING,
    mode=st.sampled_from(MODES),
    gamma=st.sampled_from([None, 1, 3, 4, 5]),
    max_new_tokens=st.integers(1, 20),
    num_samples=st.integers(1, 3),
    stop_token_ids=st.sampled_from([(), (3,)]),
    stop=st.sampled_from([(), ("ab",)]),
    logprobs=st.just(True),
)
REQUESTS = st.lists(st.tuples(st.sampled_from(PROMPTS), PARAMS), min_size=1, max_size=8)


def plain(results: list[Result]) -> list[tuple[Any, ...]]:
    return [(r.tokens, r.text, r.logprobs, r.finish_reason, r.stats.accepted_at) for r in results]


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    REQUESTS, st.sampled_from([1, 2, 4]), st.sampled_from([(), (1, 2, 8)]), st.booleans()
)
def test_answers_are_those_of_solo_runs(
    requests: list[tuple[list[int], SamplingParams]],
    batch: int,
    batches: tuple[int, ...],
    steps: bool,
) -> None:
    alone, _ = toy_engine(batch=1)
    want = [plain(alone.generate([prompt], params)) for prompt, params in requests]
    driver = "steps" if steps else "fused"
    with toy_engine(batch=batch, batches=batches, driver=driver)[0] as engine:
        running = [engine.submit(prompt, params) for prompt, params in requests]
        got = [plain(request.results(timeout=30)) for request in running]
        for request in running:
            check_deltas(request.results(), list(request))
    assert [[r[:2] + r[3:] for r in own] for own in got] == [
        [r[:2] + r[3:] for r in own] for own in want
    ]
    for own, other in zip(got, want, strict=True):
        for (_, _, a, *_), (_, _, b, *_) in zip(own, other, strict=True):
            assert a == pytest.approx(b, abs=1e-5)


def check_deltas(results: list[Result], deltas: list[Any]) -> None:
    """Deltas joined are the result; drafts are counted as in its statistics."""
    for result in results:
        own = [d for d in deltas if d.sample == result.sample]
        assert "".join(d.text for d in own) == result.text
        assert tuple(t for d in own for t in d.tokens) == result.tokens
        assert tuple(p for d in own for p in d.logprobs) == result.logprobs
        assert [d.finish_reason for d in own] == [None] * (len(own) - 1) + [result.finish_reason]
        assert sum(d.drafted for d in own) == result.stats.drafted
        behind_a_stop = sum(d.accepted for d in own) - result.stats.accepted
        assert -result.stats.wasted <= behind_a_stop <= 0
        assert all(d.accepted <= len(d.tokens) for d in own)


def test_many_threads_generate_at_once() -> None:
    engine, executor = toy_engine(batch=4)
    want = [primary_text(PRIMARY, prompt, 20) for prompt in PROMPTS]

    def call(number: int) -> bool:
        mode: Any = ("speed", "router", "primary")[number % 3]
        results = engine.generate(PROMPTS, SamplingParams(max_new_tokens=20, mode=mode))
        return [list(r.tokens) for r in results] == want

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, range(48)))
    assert executor.registers == [None] * 4
    assert engine.stats.requests == 48 * len(PROMPTS)
    assert engine.stats.tokens == 48 * len(PROMPTS) * 20


def test_modes_share_rounds() -> None:
    engine, executor = gated_engine(batch=3)
    executor.rounds_left = threading.Semaphore(0)
    modes: list[Any] = ["primary", "speed", "router"]
    running = [
        engine.submit(p, SamplingParams(max_new_tokens=9, mode=m))
        for p, m in zip(PROMPTS, modes, strict=False)
    ]
    executor.rounds_left.release(99)
    for request, prompt in zip(running, PROMPTS, strict=False):
        assert list(request.result(10).tokens) == primary_text(PRIMARY, prompt, 9)
    assert executor.calls[1] == RoundKind(role="round_router", gamma=3), executor.calls
    own = [request.result().stats for request in running]
    assert own[0].drafted == 0 and own[1].router_stops == 0


def test_a_request_is_read_while_it_runs() -> None:
    engine, executor = gated_engine()
    executor.rounds_left = threading.Semaphore(1)
    request = engine.submit([1, 2, 3], LONG)
    stream = iter(request)
    first = next(stream)
    assert first.tokens and not request.done
    with pytest.raises(
        TimeoutError, match=r"must end within 0.01 s of this call. Got: \d tokens so"
    ):
        request.result(timeout=0.01)
    executor.rounds_left.release(99)
    rest = list(stream)
    assert [t for d in (first, *rest) for t in d.tokens] == primary_text(PRIMARY, [1, 2, 3], 20)
    assert next(iter(request)) == first, "it can be read again"


def test_cancelling_frees_the_slot_within_a_round() -> None:
    engine, executor = gated_engine(batch=1)
    executor.rounds_left = threading.Semaphore(2)
    request = engine.submit([1, 2, 3], LONG)
    stream = iter(request)
    seen = [token for _ in range(2) for token in next(stream).tokens]
    request.cancel()
    executor.rounds_left.release(1)
    result = request.result(10)
    assert result.finish_reason == "cancelled" and len(executor.calls) <= 3
    assert list(result.tokens) == primary_text(PRIMARY, [1, 2, 3], 20)[: len(result.tokens)]
    assert list(result.tokens)[: len(seen)] == seen, "a delivered token is never taken back"
    request.cancel()  # once more changes nothing
    assert request.result() == result
    executor.rounds_left.release(99)
    assert engine.submit([2, 2], LONG).result(10).finish_reason == "length"


def test_cancelling_takes_a_request_out_of_the_line() -> None:
    engine, executor = gated_engine(batch=1)
    executor.rounds_left = threading.Semaphore(0)
    before, request, after = (engine.submit(prompt, LONG) for prompt in PROMPTS[:3])
    request.cancel()
    executor.rounds_left.release(99)
    assert request.result(10).finish_reason == "cancelled" and request.result().tokens == ()
    assert list(before.result(10).tokens) == primary_text(PRIMARY, PROMPTS[0], 20)
    assert list(after.result(10).tokens) == primary_text(PRIMARY, PROMPTS[2], 20)
    assert len(executor.prefills) == 2


def test_the_first_in_line_is_served_first() -> None:
    """The second needs a graph that the first has no room for; the third may not overtake it."""
    engine, executor = gated_engine(batch=2)
    executor.rounds_left = threading.Semaphore(0)
    narrow = engine.submit([1] * 25, LONG)  # 25 + 20 + 3 of the cache's 48
    wide = engine.submit([2, 2], SamplingParams(max_new_tokens=3, gamma=5))
    third = engine.submit([4], SamplingParams(max_new_tokens=3))
    executor.rounds_left.release(99)
    assert list(narrow.result(10).tokens) == primary_text(PRIMARY, [1] * 25, 20)
    assert list(wide.result(10).tokens) == primary_text(PRIMARY, [2, 2], 3)
    third.result(10)
    assert [len(p) for p in executor.prefills] == [25, 2, 1]
    gammas = [kind.gamma for kind in executor.calls]
    assert gammas == sorted(gammas) and set(gammas) == {3, 5}


def test_one_prompt_more_than_the_slots_does_not_wait_for_the_round_of_all() -> None:
    engine, executor = gated_engine(batch=4)
    executor.rounds_left = threading.Semaphore(0)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(4)]
    executor.rounds_left.release(1)
    next(iter(running[0]))
    # The first prompt began a round at once; the three others entered before the second.
    deadline = time.monotonic() + 10
    while len(executor.prefills) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(executor.prefills) == 4 and len(executor.calls) == 1
    executor.rounds_left.release(99)
    assert {request.result(10).finish_reason for request in running} == {"length"}


def test_statistics_of_a_request_and_of_the_engine_agree() -> None:
    engine, _ = toy_engine(batch=2)
    results = engine.generate(PROMPTS, LONG)
    for result in results:
        stats = result.stats
        assert 0 <= stats.queued_seconds <= stats.first_token_seconds
        assert stats.first_token_seconds <= stats.queued_seconds + stats.seconds
    names = ("tokens", "wasted", "drafted", "verified", "accepted", "router_stops")
    for name in names:
        assert getattr(engine.stats, name) == sum(getattr(r.stats, name) for r in results)
    assert engine.stats.requests == len(PROMPTS)
    assert engine.stats.host_seconds > 0


def test_what_cannot_be_served_is_refused_by_submit() -> None:
    engine, executor = toy_engine()
    with pytest.raises(RequestError, match="prompt 0 is empty"):
        engine.submit([])
    with pytest.raises(ConfigError, match=r"`deadline` must be None or a number above 0.* Got: 0"):
        engine.submit([1], deadline=0)
    assert executor.prefills == []


def test_a_long_prompt_enters_in_chunks_between_rounds() -> None:
    engine, executor = gated_engine(batch=4)
    executor.rounds_left = threading.Semaphore(0)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(2)]
    executor.rounds_left.release(2)
    while len(executor.calls) < 2 or len(executor.prefills) < 2:
        time.sleep(0.001)
    before = len(executor.chunks)
    long = engine.submit([1 + i % 9 for i in range(25)], LONG)
    seen: list[tuple[int, int]] = []
    executor.before = lambda act, _: seen.append((len(executor.chunks), len(executor.calls)))
    executor.rounds_left.release(99)
    assert list(long.result(10).tokens) == primary_text(PRIMARY, [1 + i % 9 for i in range(25)], 20)
    for request in running:
        assert list(request.result(10).tokens) == primary_text(PRIMARY, [1, 2, 3], 20)
    # (chunks, rounds) before each act: three chunks of the prompt, and a round between any two.
    rounds = {chunks - before: calls for chunks, calls in reversed(seen)}
    assert rounds[1] < rounds[2] < rounds[3]


def test_a_prompt_goes_on_when_the_rows_that_it_made_room_for_have_left() -> None:
    engine, executor = gated_engine(batch=3)
    executor.rounds_left = threading.Semaphore(0)
    running = [engine.submit([1, 2, 3], LONG) for _ in range(2)]
    executor.rounds_left.release(2)
    while len(executor.calls) < 2 or len(executor.prefills) < 2:
        time.sleep(0.001)
    long = engine.submit([1 + i % 9 for i in range(25)], LONG)
    for request in running:
        request.cancel()
    executor.rounds_left.release(99)
    assert list(long.result(10).tokens) == primary_text(PRIMARY, [1 + i % 9 for i in range(25)], 20)


def test_the_batch_grows_while_requests_wait_and_shrinks_after_quiet_rounds() -> None:
    engine, executor = gated_engine(batch=1, batches=(2, 4))
    executor.rounds_left, sizes = threading.Semaphore(0), list[int]()
    executor.before = lambda act, _: sizes.append(executor.batch) if act == "round" else None
    long = SamplingParams(max_new_tokens=40, mode="primary")
    running = [engine.submit([1, 2], long)]
    while not executor.prefills:
        time.sleep(0.001)
    running += [engine.submit(prompt, SamplingParams(max_new_tokens=5)) for prompt in PROMPTS[:3]]
    executor.rounds_left.release(999)
    got = [list(request.result(10).tokens) for request in running]
    want = [primary_text(PRIMARY, [1, 2], 40)]
    assert got == want + [primary_text(PRIMARY, prompt, 5) for prompt in PROMPTS[:3]]
    assert sizes[0] == 1 and max(sizes) == 4 and sizes[-1] == 1
    changes = [size for size, after in zip(sizes, [*sizes[1:], 0], strict=True) if size != after]
    assert changes == [1, 4, 1], "it goes where the load is, without a stop on the way"
