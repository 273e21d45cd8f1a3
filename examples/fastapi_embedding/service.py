"""A service of your own around an engine: code, continued by so many lines and streamed.

`tandem-export serve` has OpenAI's interface; this shows what an existing FastAPI service adds.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

import tandem_export
from tandem_export import AsyncEngine, SamplingParams
from tandem_export.errors import QueueFullError, RequestError


@asynccontextmanager
async def with_engine(app: FastAPI) -> AsyncIterator[None]:
    """Loads the engine before the first request, and drains it after the last."""
    loaded = tandem_export.load(
        os.environ["BUNDLE"], executor=os.environ.get("EXECUTOR", "onnxruntime"), most_waiting=64
    )
    async with AsyncEngine(loaded) as app.state.engine:
        yield


app = FastAPI(lifespan=with_engine)


class Code(BaseModel):
    """Code that is to be continued."""

    text: str = Field(min_length=1)
    lines: int = Field(default=3, ge=1, le=20)


@app.post("/continue")
async def continue_code(code: Code, request: Request) -> StreamingResponse:
    """Streams the next lines; a client that goes away frees its slot within a round."""
    engine: AsyncEngine = request.app.state.engine
    params = SamplingParams(max_new_tokens=24, ignore_end_tokens=True)
    deltas = engine.stream(code.text, params, deadline=30)
    try:
        first = await anext(deltas)  # what is wrong with a request shows here
    except QueueFullError as error:
        raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
    except RequestError as error:
        raise HTTPException(422, str(error)) from error

    async def lines() -> AsyncIterator[str]:
        left = code.lines
        async with aclosing(deltas):
            text = first.text
            yield text
            left -= text.count("\n")
            async for delta in deltas:
                yield delta.text
                left -= delta.text.count("\n")
                if left <= 0:
                    return

    return StreamingResponse(lines(), media_type="text/plain")
