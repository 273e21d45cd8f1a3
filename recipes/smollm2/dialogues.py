"""Dialogues that a chat model writes by itself: the user's message first, then the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from recipes.smollm2.heads import Head, draw_head, render_head
from tandem_export.runtime import ChatTemplate, Engine, Result, SamplingParams

SAMPLES = 8  # messages for each head: its prompt is computed once
TEMPERATURES = (0.7, 1.0)
_FEWEST_TOKENS = 4
# A model of this size now and then repeats itself to the end, which says nothing about its answers.
_LEAST_NEW = 0.5
_RUN = 8


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """One message and its answer.

    Attributes:
      system, user: the texts that the chat template was given.
      prompt: token ids of the whole prompt.
      answer: token ids, the end token too, unless the answer was cut.
      temperature: of the answer.
      seed: of the answer.
    """

    system: str
    user: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    temperature: float
    seed: int

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_line(cls, line: str) -> Dialogue:
        """What `to_line` wrote."""
        fields = json.loads(line)
        return cls(**fields | {n: tuple(fields[n]) for n in ("prompt", "answer")})


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The longest message and answer, in tokens."""

    message: int = 96
    answer: int = 224


def write_dialogues(
    engine: Engine, rng: np.random.Generator, count: int, lengths: Lengths
) -> list[Dialogue]:
    """At most `count` dialogues; messages and answers that are of no use are left out.

    Args:
      engine: over a bundle with a chat template.
      rng: chooses heads, temperatures and seeds; the same one gives the same dialogues.
      count: messages to write.
      lengths: the bundle's cache must hold a system prompt and both.
    """
    chat = _chat(engine)
    messages = _write_messages(engine, chat, rng, count, lengths.message)
    prompts = [chat.encode(_as_messages(system, user)) for system, user in messages]
    params = [_params(rng, lengths.answer) for _ in prompts]
    answers = engine.generate(prompts, params)
    rows = zip(messages, prompts, params, answers, strict=True)
    return [
        Dialogue(
            system=system,
            user=user,
            prompt=tuple(prompt),
            answer=answer.tokens,
            temperature=own.temperature,
            seed=own.seed,
        )
        for (system, user), prompt, own, answer in rows
        if is_varied(answer.tokens)
    ]


def _chat(engine: Engine) -> ChatTemplate:
    if engine.chat is None:
        raise ValueError("dialogues need a bundle of a chat model: this one has no chat template")
    return engine.chat


def _write_messages(
    engine: Engine, chat: ChatTemplate, rng: np.random.Generator, count: int, longest: int
) -> list[tuple[str, str]]:
    """(system, user) pairs; a message that did not end, or says next to nothing, is left out."""
    heads = [draw_head(rng) for _ in range(-(-count // SAMPLES))]
    texts = [render_head(chat, head) for head in heads]
    params = [_params(rng, longest, SAMPLES) for _ in heads]
    prompts = [_ids(engine, text) for text in texts]
    written = engine.generate(prompts, params)
    pairs = [(heads[result.request], result) for result in written if _is_message(result)]
    return [(head.system, _message(head, result)) for head, result in pairs]


def _ids(engine: Engine, text: str) -> Sequence[int]:
    assert engine.tokenizer is not None
    return engine.tokenizer.encode(text, add_special_tokens=False).ids


def _params(rng: np.random.Generator, longest: int, samples: int = 1) -> SamplingParams:
    return SamplingParams(
        mode="primary",
        temperature=round(float(rng.uniform(*TEMPERATURES)), 2),
        seed=int(rng.integers(2**32)),
        max_new_tokens=longest,
        num_samples=samples,
    )


def _is_message(result: Result) -> bool:
    return result.finish_reason == "stop" and len(result.tokens) > _FEWEST_TOKENS


def _message(head: Head, result: Result) -> str:
    return (head.opening + result.text).strip()


def _as_messages(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def is_varied(tokens: Sequence[int]) -> bool:
    """Whether at least half of the runs of eight tokens occur for the first time."""
    runs = [tuple(tokens[at : at + _RUN]) for at in range(max(1, len(tokens) - _RUN + 1))]
    return len(set(runs)) >= _LEAST_NEW * len(runs)


def distinct(dialogues: Iterable[Dialogue]) -> list[Dialogue]:
    """The dialogues whose message came up for the first time, whatever its case and spaces."""
    first: dict[str, Dialogue] = {}
    for dialogue in dialogues:
        first.setdefault(" ".join(dialogue.user.lower().split()), dialogue)
    return list(first.values())
