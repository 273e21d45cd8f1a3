from __future__ import annotations

import asyncio
import threading

import pytest

from tandem_export.errors import DeadlineError, EngineClosedError, QueueFullError
from tandem_export.runtime import AsyncEngine, SamplingParams
from tandem_export.runtime.testing import PRIMARY, primary_text, toy_engine
from tests.runtime.service.gate import gated_engine

LONG = SamplingParams(max_new_tokens=20)
PROMPTS = [[1, 2, 3], [4], [2, 2], [9, 1, 7]]


def test_tasks_share_an_engine() -> None:
    async def main() -> None:
        async with AsyncEngine(toy_engine(batch=2)[0]) as engine:
            results = await asyncio.gather(*(engine.generate(p, LONG) for p in PROMPTS * 5))
            for prompt, (result,) in zip(PROMPTS * 5, results, strict=True):
                assert list(result.tokens) == primary_text(PRIMARY, prompt, 20)
            tokens = [token async for d in engine.stream(PROMPTS[0], LONG) for token in d.tokens]
            assert tokens == primary_text(PRIMARY, PROMPTS[0], 20)
        with pytest.raises(EngineClosedError):
            await engine.generate(PROMPTS[0], LONG)

    asyncio.run(main())


def test_cancelling_the_task_frees_the_slot_within_a_round() -> None:
    async def main() -> None:
        engine, executor = gated_engine(batch=1)
        executor.rounds_left = threading.Semaphore(1)
        own = AsyncEngine(engine)
        first = asyncio.Event()

        async def read() -> None:
            async for _ in own.stream([1, 2, 3], LONG):
                first.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(first.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        executor.rounds_left.release(1)
        engine.warm_up(LONG)  # comes after the cancellation
        assert executor.free() and len(executor.calls) <= 2
        executor.rounds_left.release(99)
        assert len(await own.generate([4], LONG)) == 1
        await own.aclose()

    asyncio.run(main())


def test_a_loop_that_is_gone_ends_its_requests() -> None:
    engine, executor = gated_engine(batch=2)
    executor.rounds_left = threading.Semaphore(1)
    iterators = []

    async def leave() -> None:
        iterators.append(AsyncEngine(engine).stream([1, 2, 3], LONG))
        await anext(iterators[0])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    executor.rounds_left.release(99)
    assert list(engine.submit([4], LONG).result(10).tokens) == primary_text(PRIMARY, [4], 20)
    engine.close()
    assert executor.free()


def test_errors_come_where_they_are_awaited() -> None:
    async def main() -> None:
        engine, executor = gated_engine(batch=1, most_waiting=1)
        executor.rounds_left = threading.Semaphore(0)
        own = AsyncEngine(engine)
        late = asyncio.create_task(own.generate([1, 2, 3], LONG, deadline=0.05))
        while not executor.prefills:
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(own.generate([4], LONG))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await own.generate([4], LONG)
        await asyncio.sleep(0.06)
        executor.rounds_left.release(99)
        with pytest.raises(DeadlineError):
            await late
        assert list((await waiting)[0].tokens) == primary_text(PRIMARY, [4], 20)

    asyncio.run(main())
