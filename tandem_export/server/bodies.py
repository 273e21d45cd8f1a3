"""The bodies of requests, as OpenAI's clients send them, with this project's own fields."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tandem_export.runtime import Mode

Number = float | None


class StreamOptions(BaseModel):
    """What a stream contains."""

    include_usage: bool = False


class _Body(BaseModel):
    """What both kinds of request have.

    A name that is not here is an error: an option that is ignored would change the answer in
    silence. Names that change no answer are accepted, and those that this server cannot serve are
    accepted with the value that asks for nothing.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    max_tokens: int | None = None
    temperature: Number = None
    top_p: Number = None
    n: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[int, float] | None = None

    # This project's own: the client's `extra_body`.
    top_k: int | None = None
    min_p: Number = None
    min_tokens: int | None = None
    stop_token_ids: list[int] | None = None
    allowed_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    rule: Literal["leviathan", "gumbel"] | None = None
    mode: Mode | None = None
    gamma: int | None = None
    tau: Number = None
    deadline: Number = Field(default=None, gt=0)
    include_tokens: bool = False

    # Accepted, and without effect on an answer.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    # Not served: the value that asks for nothing is accepted.
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None


class CompletionBody(_Body):
    """The body of `/v1/completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: Literal[0, 1] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: Literal[""] | None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Returns the prompts as a list of texts, or of lists of token ids."""
        match self.prompt:
            case str():
                return [self.prompt]
            case [int(), *_] as ids:
                return [[token for token in ids if isinstance(token, int)]]
            case _:
                return self.prompt  # pyright: ignore[reportReturnType]


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: str
    content: str | list[TextPart] | None = None
    name: str | None = None

    @property
    def plain(self) -> dict[str, str]:
        """Returns what the chat template sees."""
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": self.role, "content": text}


class ChatBody(_Body):
    """The body of `/v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: Literal[0] | None = None
    tools: list[object] | None = Field(default=None, max_length=0)
    tool_choice: Literal["none"] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None
