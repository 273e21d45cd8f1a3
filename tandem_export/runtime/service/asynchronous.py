"""The engine for asyncio: nothing blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING

from tandem_export.runtime.request.params import SamplingParams
from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.service.request import Request

if TYPE_CHECKING:
    from tandem_export.runtime.engine import Engine


class AsyncEngine:
    """Awaits what `engine` does; several event loops and other threads may share that engine.

        async with AsyncEngine(tandem_export.load(path)) as engine:
            async for delta in engine.stream("def area(radius):"):
                print(delta.text, end="")

    A task that is cancelled, and an iterator that is closed, free their slots within a round.

    Attributes:
      engine: does the work; `engine.submit` and all else may be used beside this.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Result]:
        """Answers one prompt: `num_samples` results. Arguments and errors are those of `submit`."""
        request = self.engine.submit(prompt, params, deadline=deadline)
        async for _ in deltas_of([request]):
            pass
        return request.results()

    async def stream(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        deadline: float | None = None,
    ) -> AsyncGenerator[Delta, None]:
        """Yields what each round adds to the answers to one prompt; as `generate`."""
        request = self.engine.submit(prompt, params, deadline=deadline)
        async with aclosing(deltas_of([request])) as deltas:
            async for _, delta in deltas:
                yield delta

    async def aclose(self, *, drain: bool = True) -> None:
        """Closes the engine; see `Engine.close`."""
        await asyncio.to_thread(self.engine.close, drain=drain)

    async def __aenter__(self) -> AsyncEngine:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose(drain=kind is None)


async def deltas_of(requests: Sequence[Request]) -> AsyncGenerator[tuple[int, Delta], None]:
    """Yields the deltas of several requests with the number of each, as they come.

    Leaving it before the end cancels them.

    Raises:
      TandemError: what ends one of them.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    for request in requests:
        request.when_changed(lambda: loop.call_soon_threadsafe(changed.set))
    seen, left = [0] * len(requests), set(range(len(requests)))
    try:
        while True:
            changed.clear()
            for number in sorted(left):
                request = requests[number]
                ended = request.done
                deltas, seen[number] = request.deltas(seen[number])
                for delta in deltas:
                    yield number, delta
                if ended:
                    request.results()
                    left.discard(number)
            if not left:
                return
            await changed.wait()
    finally:
        for number in left:
            requests[number].cancel()
