"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of one server.

    Attributes:
      model: the name under which clients ask for the bundle.
      api_key: what clients must send as a bearer token; None asks for none.
      most_body_bytes: of a request's body.
      most_prompt_tokens: of one prompt; None is what the cache holds.
      most_answers: of one request: prompts times samples.
      deadline: seconds for each request; None sets none.
      retry_after: seconds after which a client whose request found the line full is to come again.
    """

    model: str
    api_key: str | None = None
    most_body_bytes: int = 2**20
    most_prompt_tokens: int | None = None
    most_answers: int = 64
    deadline: float | None = None
    retry_after: int = 1
