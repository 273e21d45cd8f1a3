"""Errors as OpenAI's interface sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from tandem_export.errors import (
    ConfigError,
    DeadlineError,
    EngineClosedError,
    QueueFullError,
    RequestError,
    TandemError,
)


@dataclass(frozen=True)
class Refusal(Exception):
    """A request that is refused before it reaches the engine."""

    status: int
    message: str
    code: str | None = None


# The first that fits: subclasses before their bases.
_STATUS: tuple[tuple[type[TandemError], int], ...] = (
    (QueueFullError, 429),
    (DeadlineError, 504),
    (EngineClosedError, 503),
    (RequestError, 400),
    (ConfigError, 400),
    (TandemError, 500),
)
_KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
_KINDS |= {503: "server_error", 504: "timeout_error"}


def status_of(error: TandemError) -> int:
    """Returns the HTTP status of an error that the engine raised."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def error_body(status: int, message: str, code: str | None = None) -> dict[str, object]:
    """Returns an error object as OpenAI's clients read it."""
    kind = _KINDS.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def response(
    status: int, message: str, *, retry_after: int, code: str | None = None
) -> JSONResponse:
    """Returns an error as a response; 429 and 503 say when to come again."""
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(error_body(status, message, code), status, headers)


def invalid(_: Request, error: Exception) -> JSONResponse:
    """Returns the response to a body that breaks a rule: each rule in one line."""
    assert isinstance(error, RequestValidationError)
    places = [f"{_place(found['loc'])}: {found['msg']}" for found in error.errors()]
    rule = "the body must follow the OpenAI interface as this server has it"
    told = f"{rule}. Got: {'; '.join(dict.fromkeys(places))[:800]}"
    return JSONResponse(error_body(400, told), 400)


def _place(parts: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in parts if part != "body") or "body"
