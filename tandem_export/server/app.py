"""The HTTP interface over one engine."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from fastapi.sse import EventSourceResponse, format_sse_event
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from tandem_export.errors import RequestError, TandemError
from tandem_export.page import live_page
from tandem_export.runtime import Engine, deltas_of
from tandem_export.runtime import Request as Running
from tandem_export.server.answers import Endpoint, Writer
from tandem_export.server.bodies import ChatBody, CompletionBody
from tandem_export.server.errors import Refusal, error_body, invalid, response, status_of
from tandem_export.server.metrics import Metrics
from tandem_export.server.options import ServerOptions
from tandem_export.server.parameters import params_of
from tandem_export.storage import encode_text


def create_app(engine: Engine, options: ServerOptions) -> FastAPI:
    """Returns the application over `engine`, which stays its caller's to close.

    Raises:
      RequestError: the engine has no tokenizer.
    """
    return _Server(engine, options).app()


class _Server:
    def __init__(self, engine: Engine, options: ServerOptions) -> None:
        if engine.tokenizer is None:
            raise RequestError("a server's engine must have a tokenizer. Got: none")
        self._engine, self._options, self._tokenizer = engine, options, engine.tokenizer
        self._metrics = Metrics(engine)

    def app(self) -> FastAPI:
        app = FastAPI(
            title="tandem-export",
            docs_url=None,
            redoc_url=None,
            max_body_size=self._options.most_body_bytes,
        )
        app.add_exception_handler(RequestValidationError, invalid)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(TandemError, self._failed)
        app.add_exception_handler(Refusal, self._refused)
        closed = [Depends(self._check_key)]
        app.get("/", response_class=HTMLResponse)(self._page)
        app.get("/health")(self._health)
        app.get("/ready")(self._ready)
        app.get("/metrics")(self._read_metrics)
        app.get("/v1/models", dependencies=closed)(self._models)
        app.get("/v1/models/{model:path}", dependencies=closed)(self._model)
        app.post("/v1/completions", dependencies=closed, response_model=None)(self._complete)
        app.post("/v1/chat/completions", dependencies=closed, response_model=None)(self._chat)
        return app

    async def _failed(self, _: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TandemError)
        return response(status_of(error), str(error), retry_after=self._options.retry_after)

    async def _http(self, _: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return response(error.status_code, error.detail, retry_after=0)

    async def _refused(self, _: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refusal)
        return response(error.status, error.message, retry_after=0, code=error.code)

    async def _check_key(self, authorization: Annotated[str, Header()] = "") -> None:
        key = self._options.api_key
        if key is None:
            return
        given = authorization.removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), key.encode()):
            told = "the header `Authorization: Bearer KEY` must have this server's key"
            raise Refusal(401, f"{told}. Got: {'another' if given else 'none'}", "invalid_api_key")

    async def _page(self) -> str:
        return live_page()

    async def _health(self) -> PlainTextResponse:
        """Answers whether the engine's thread lives."""
        return PlainTextResponse("ok\n")

    async def _ready(self) -> PlainTextResponse:
        """Answers whether the engine takes requests."""
        if self._engine.closed:
            return PlainTextResponse("closed\n", 503)
        return PlainTextResponse("ready\n")

    async def _read_metrics(self) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def _models(self) -> dict[str, object]:
        return {"object": "list", "data": [self._described()]}

    async def _model(self, model: str) -> dict[str, object]:
        self._check_model(model)
        return self._described()

    def _described(self) -> dict[str, object]:
        limits = self._engine.limits
        return {
            "id": self._options.model,
            "object": "model",
            "created": 0,
            "owned_by": "tandem-export",
            "max_model_len": limits.cache,
            "tandem": {
                "gammas": {role: list(gammas) for role, gammas in limits.gammas.items()},
                "gamma": limits.gamma,
                "tau": limits.tau,
                "chat": self._engine.chat is not None,
            },
        }

    def _check_model(self, model: str) -> None:
        if model != self._options.model:
            told = f"`model` must be {self._options.model!r}, which this server has. Got: {model!r}"
            raise Refusal(404, told, "model_not_found")

    async def _complete(self, body: CompletionBody, http: Request) -> Response:
        self._check_model(body.model)
        prompts = [await self._tokens(prompt) for prompt in body.prompts]
        return await self._answer("completion", body, prompts, http)

    async def _chat(self, body: ChatBody, http: Request) -> Response:
        self._check_model(body.model)
        chat = self._engine.chat
        if chat is None:
            told = "the bundle must have a chat template for /v1/chat/completions"
            raise Refusal(400, f"{told}. Got: none. Use /v1/completions.")
        messages = [message.plain for message in body.messages]
        # The template runs in a process of its own, which is waited for.
        tokens = await asyncio.to_thread(chat.encode, messages)
        return await self._answer("chat", body, [tokens], http)

    async def _tokens(self, prompt: str | list[int]) -> list[int]:
        if not isinstance(prompt, str):
            return prompt
        return await asyncio.to_thread(
            encode_text, self._tokenizer, prompt, what="the prompt", error=RequestError
        )

    async def _answer(
        self,
        endpoint: Endpoint,
        body: CompletionBody | ChatBody,
        prompts: Sequence[list[int]],
        http: Request,
    ) -> Response:
        self._check_size(prompts, body.n or 1)
        requests = self._submit(body, prompts)
        writer = Writer(
            endpoint=endpoint,
            model=body.model,
            tokenizer=self._tokenizer,
            include_tokens=body.include_tokens,
        )
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            events = _events(writer, requests, body.n or 1, usage=usage)
            return EventSourceResponse(events)
        await _unless_gone(http, requests)
        return JSONResponse(writer.whole(requests))

    def _check_size(self, prompts: Sequence[list[int]], samples: int) -> None:
        options = self._options
        if not prompts:
            raise Refusal(400, "`prompt` must be a text, token ids, or several of them. Got: []")
        if len(prompts) * samples > options.most_answers:
            told = f"a request must ask for at most {options.most_answers} answers"
            raise Refusal(400, f"{told}. Got: {len(prompts)} prompts, {samples} each")
        longest = max(len(prompt) for prompt in prompts)
        if options.most_prompt_tokens is not None and longest > options.most_prompt_tokens:
            told = f"a prompt must have at most {options.most_prompt_tokens} tokens"
            raise Refusal(400, f"{told}. Got: {longest}", "context_length_exceeded")

    def _submit(
        self, body: CompletionBody | ChatBody, prompts: Sequence[list[int]]
    ) -> list[Running]:
        """Puts all prompts in line, or none."""
        engine, requests = self._engine, list[Running]()
        deadline = self._options.deadline if body.deadline is None else body.deadline
        try:
            for prompt in prompts:
                params = params_of(body, len(prompt), engine.limits)
                requests.append(engine.submit(prompt, params, deadline=deadline))
        except TandemError:
            for request in requests:
                request.cancel()
            raise
        return requests


async def _unless_gone(http: Request, requests: Sequence[Running]) -> None:
    """Waits for the ends of requests; a client that is gone cancels them."""

    async def finish() -> None:
        async with aclosing(deltas_of(requests)) as deltas:
            async for _ in deltas:
                pass

    async def gone() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass

    ends, leaves = asyncio.ensure_future(finish()), asyncio.ensure_future(gone())
    try:
        await asyncio.wait([ends, leaves], return_when=asyncio.FIRST_COMPLETED)
        if not ends.done():
            raise Refusal(499, "the client must wait for the answer. Got: it is gone")
        await ends
    finally:
        ends.cancel()
        leaves.cancel()


async def _events(
    writer: Writer, requests: Sequence[Running], samples: int, *, usage: bool
) -> AsyncGenerator[bytes, None]:
    """Yields server-sent events; an error is the last one. Closing it cancels the requests."""
    try:
        async with aclosing(deltas_of(requests)) as deltas:
            async for number, delta in deltas:
                yield _event(writer.chunk(number * samples + delta.sample, delta))
        if usage:
            yield _event(writer.last(requests))
    except TandemError as error:
        yield _event(error_body(status_of(error), str(error)))
    yield format_sse_event(data_str="[DONE]")


def _event(value: dict[str, object]) -> bytes:
    return format_sse_event(data_str=json.dumps(value, separators=(",", ":")))
