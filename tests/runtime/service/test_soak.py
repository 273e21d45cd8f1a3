"""Many threads, random requests, cancellations, deadlines, faults: nothing is lost or left over."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tandem_export
from tandem_export.errors import DeadlineError, ExecutorError
from tandem_export.runtime import (
    Begun,
    Engine,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    Rounds,
    RowInputs,
    SamplingParams,
    Steps,
)
from tandem_export.runtime.testing import V, toy_engine
from tests.onnx_bundles import shared_bundle

THREADS = 50
MOST_GROWTH = 64 * 2**20  # bytes
MODES: list[Any] = ["speed", "router", "primary", "standalone", "standalone_free"]


class Faulty:
    """An executor that fails one act in `often`: before it is done, or after, its result lost."""

    def __init__(self, executor: Steps, often: int) -> None:
        self._executor, self.often, self._draw = executor, often, random.Random(1)
        self.batches = executor.batches
        self.cache, self.chunk, self.counters = executor.cache, executor.chunk, executor.counters
        self.faults = 0

    @property
    def batch(self) -> int:
        return self._executor.batch

    def _act(self, act: Callable[[], Any]) -> Any:
        place = self._draw.randrange(2 * self.often) if self.often else 2
        if place == 0:
            self._fail()
        done = act()
        if place == 1:
            self._fail()
        return done

    def _fail(self) -> None:
        self.faults += 1
        raise MemoryError("injected")

    @property
    def rounds(self) -> Rounds | None:
        return None if self._executor.rounds is None else self

    def warm_up(self, kinds: Sequence[RoundKind], *, steps: bool) -> None:
        self._executor.warm_up(kinds, steps=steps)

    def prefill(self, tokens: Sequence[int]) -> PrefilledRow:
        return self._executor.prefill(tokens)

    def prefilling(self, tokens: Sequence[int], begun: Begun | None = None) -> Prefilling:
        row = yield from self._executor.prefilling(tokens, begun)
        return self._act(lambda: row)

    def insert(self, row: PrefilledRow, slot: int, registers: Registers) -> None:
        self._act(lambda: self._executor.insert(row, slot, registers))

    def release(self, slot: int) -> None:
        self._executor.release(slot)

    def resize(self, order: Sequence[int | None]) -> None:
        self._act(lambda: self._executor.resize(order))

    def close(self) -> None:
        self._executor.close()

    def round(self, kind: RoundKind, rows: RowInputs) -> RoundResult:
        assert self._executor.rounds is not None
        rounds = self._executor.rounds
        return self._act(lambda: rounds.round(kind, rows))

    def primary_block(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return self._act(lambda: self._executor.primary_block(tokens, start))

    def drafter_step(self, tokens: np.ndarray, start: np.ndarray) -> np.ndarray:
        return self._executor.drafter_step(tokens, start)

    def router(self, logits: np.ndarray) -> np.ndarray:
        return self._executor.router(logits)


def engine_of(name: str) -> Engine:
    if name == "toy":
        return toy_engine(batch=1, batches=(2, 4))[0]
    path = shared_bundle("tandem", "stablehlo", "onnx").path
    return tandem_export.load(path, executor=name, modes=MODES, threads=1)


def requests_of(engine: Engine, count: int) -> list[tuple[list[int], SamplingParams]]:
    """Forty requests, again and again."""
    draw, vocabulary = random.Random(7), min(V, engine.limits.vocab_size)
    kinds = [
        (
            [draw.randrange(1, vocabulary) for _ in range(draw.randint(1, 9))],
            SamplingParams(
                max_new_tokens=draw.randint(1, 16),
                mode=draw.choice(MODES),
                temperature=draw.choice([0.0, 0.0, 0.8]),
                seed=draw.randrange(9),
                num_samples=draw.choice([1, 1, 1, 2]),
                stop_token_ids=draw.choice([(), (3,)]),
                ignore_end_tokens=True,
            ),
        )
        for _ in range(40)
    ]
    return [draw.choice(kinds) for _ in range(count)]


def serve(
    engine: Engine, number: int, request: tuple[list[int], SamplingParams]
) -> tuple[str, Any]:
    draw = random.Random(number)
    try:
        running = engine.submit(*request, deadline=draw.choice([None] * 9 + [0.05]))
        if draw.random() < 0.1:
            next(iter(running), None)
            running.cancel()
        results = running.results(timeout=240)
    except (ExecutorError, DeadlineError) as error:
        return type(error).__name__, None
    if any(result.finish_reason == "cancelled" for result in results):
        return "cancelled", None
    return "done", [result.tokens for result in results]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("toy", 200),
        ("onnxruntime", 200),
        pytest.param("jax", 2000, marks=pytest.mark.slow),
        pytest.param("onnxruntime", 2000, marks=pytest.mark.slow),
    ],
)
def test_soak(name: str, count: int) -> None:
    plain, threads = engine_of(name), threading.active_count()
    requests = requests_of(plain, count)
    alone = {
        str(request): [r.tokens for r in plain.generate([request[0]], request[1])]
        for request in requests
    }
    faulty = Faulty(plain.executor, often=150)
    engine = Engine(faulty, plain.limits, plain.tokenizer, prefix_bytes=2**20)
    before, ends = resident(), Counter[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        for number, (end, tokens) in enumerate(
            pool.map(lambda pair: serve(engine, *pair), enumerate(requests))
        ):
            ends[end] += 1
            if end == "done":
                assert tokens == alone[str(requests[number])], requests[number]
    assert ends["done"] > count // 2 and ends["cancelled"] and faulty.faults, ends
    assert engine.load == (0, 0) and engine.stats.requests == count
    gc.collect()
    assert resident() - before < MOST_GROWTH
    # The slots are free: the engine goes on to serve as many requests as there are, without faults.
    faulty.often = 0
    whole = [engine.submit(*request) for request in requests[:8]]
    for request, running in zip(requests, whole, strict=False):
        assert [r.tokens for r in running.results(60)] == alone[str(request)]
    engine.close()
    assert threading.active_count() == threads
