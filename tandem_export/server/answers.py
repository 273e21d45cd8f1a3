"""Answers as OpenAI's interface sends them: plain JSON values."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizers import Tokenizer

from tandem_export.runtime import Delta, Request, TextStream, token_texts

Json = dict[str, object]
Endpoint = Literal["completion", "chat"]
_OBJECTS = {"completion": ("text_completion", "text_completion")}
_OBJECTS |= {"chat": ("chat.completion", "chat.completion.chunk")}


def usage_of(requests: Sequence[Request]) -> Json:
    """Returns the usage of requests that have ended; drafts that were delivered are accepted."""
    results = [result for request in requests for result in request.results()]
    deltas = [delta for request in requests for delta in request.deltas(0)[0]]
    prompts = [request.results()[0].stats for request in requests]
    prompt = sum(stats.prompt_tokens for stats in prompts)
    completion = sum(len(result.tokens) for result in results)
    accepted = sum(delta.accepted for delta in deltas)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(own.reused_tokens for own in prompts)},
        "completion_tokens_details": {
            "accepted_prediction_tokens": accepted,
            "rejected_prediction_tokens": sum(delta.drafted for delta in deltas) - accepted,
        },
    }


@dataclass
class _Written:
    """What has been sent of one answer."""

    texts: TextStream
    length: int = 0
    begun: bool = False


@dataclass(kw_only=True)
class Writer:
    """Writes the answers to one HTTP request.

    Attributes:
      endpoint: which kind of answer.
      model: the name that the client asked for.
      tokenizer: of the bundle.
      include_tokens: also say, for each token, its id and text, and which were drafts.
    """

    endpoint: Endpoint
    model: str
    tokenizer: Tokenizer
    include_tokens: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    _written: dict[int, _Written] = field(default_factory=dict)

    def whole(self, requests: Sequence[Request]) -> Json:
        """Returns the answer to a client that does not stream; the requests have ended."""
        answers: dict[int, list[Delta]] = {}
        for number, request in enumerate(requests):
            samples = len(request.results())
            for delta in request.deltas(0)[0]:
                answers.setdefault(number * samples + delta.sample, []).append(delta)
        choices = [self._choice(index, deltas) for index, deltas in sorted(answers.items())]
        return self._envelope(0, choices) | {"usage": usage_of(requests)}

    def chunk(self, index: int, delta: Delta) -> Json:
        """Returns one chunk of a stream: what a round added to answer `index`."""
        return self._envelope(1, [self._part(index, delta)])

    def last(self, requests: Sequence[Request]) -> Json:
        """Returns the chunk of a stream that has the usage and no answers."""
        return self._envelope(1, []) | {"usage": usage_of(requests)}

    def _envelope(self, streamed: int, choices: list[Json]) -> Json:
        prefix = "chatcmpl" if self.endpoint == "chat" else "cmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": _OBJECTS[self.endpoint][streamed],
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _choice(self, index: int, deltas: Sequence[Delta]) -> Json:
        text = "".join(delta.text for delta in deltas)
        content: Json = {"message": {"role": "assistant", "content": text}}
        body = content if self.endpoint == "chat" else {"text": text}
        logprobs = self._logprobs(index, deltas)
        tandem = {"tandem": [self._tokens(index, d) for d in deltas]} if self.include_tokens else {}
        reason = deltas[-1].finish_reason
        return {"index": index, **body, "logprobs": logprobs, "finish_reason": reason, **tandem}

    def _part(self, index: int, delta: Delta) -> Json:
        """Returns a choice of a chunk; the first of a chat has the role."""
        begun = self._of(index).begun
        self._of(index).begun = True
        role: Json = {} if begun else {"role": "assistant"}
        body: Json = {"text": delta.text}
        if self.endpoint == "chat":
            body = {"delta": role | {"content": delta.text}}
        logprobs = self._logprobs(index, [delta])
        tandem = {"tandem": [self._tokens(index, delta)]} if self.include_tokens else {}
        reason = delta.finish_reason
        return {"index": index, **body, "logprobs": logprobs, "finish_reason": reason, **tandem}

    def _of(self, index: int) -> _Written:
        return self._written.setdefault(index, _Written(TextStream(self.tokenizer)))

    def _tokens(self, index: int, delta: Delta) -> Json:
        texts = self._of(index).texts
        return {
            "tokens": delta.tokens,
            "texts": token_texts(texts, delta.tokens),
            "accepted": delta.accepted,
            "drafted": delta.drafted,
        }

    def _logprobs(self, index: int, deltas: Sequence[Delta]) -> Json | None:
        if any(delta.logprobs is None for delta in deltas):
            return None
        tokens = [token for delta in deltas for token in delta.tokens]
        values = [value for delta in deltas for value in delta.logprobs or ()]
        texts = [self.tokenizer.decode([token], skip_special_tokens=False) for token in tokens]
        if self.endpoint == "completion":
            return {
                "tokens": texts,
                "token_logprobs": values,
                "top_logprobs": None,
                "text_offset": self._offsets(index, texts),
            }
        content = [
            {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
            for text, value in zip(texts, values, strict=True)
        ]
        return {"content": content, "refusal": None}

    def _offsets(self, index: int, texts: Sequence[str]) -> list[int]:
        written, offsets = self._of(index), list[int]()
        for text in texts:
            offsets.append(written.length)
            written.length += len(text)
        return offsets
