"""Heads of a user turn: a system prompt, and perhaps the first words of what the user says.

The model writes the rest itself. Heads only steer: to code, to plain text, to short answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tandem_export.runtime import ChatTemplate

# What the model's own chat template says when no system prompt is given.
DEFAULT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
CODE = (
    "You are an expert Python programmer. You answer with code and a short explanation.",
    "You are a software engineer who helps with JavaScript, Java, C, SQL and the shell.",
)
PROSE = (
    "You are a writer. You write stories, letters, essays and articles in plain text.",
    "You are an editor. You rewrite, correct and summarize the texts that you are given.",
)
OTHER = (
    "You are a helpful assistant.",
    "You answer questions in one or two short sentences.",
    "You are a patient teacher of mathematics and science.",
    "You know history, geography and culture, and you explain them well.",
    "You give practical advice about work, health, cooking and travel.",
)
# Each row: share of the dialogues, system prompts, first words ("" leaves all to the model).
_KINDS = (
    (0.40, (DEFAULT,), ("", "", "What is", "How do I", "Write", "Explain", "Can you", "Why")),
    (
        0.20,
        CODE,
        ("", "Write a function that", "How can I", "Write a program that", "Fix this code"),
    ),
    (
        0.15,
        PROSE,
        ("", "Write a story about", "Write a letter to", "Summarize this text:", "Rewrite"),
    ),
    (0.25, OTHER, ("", "", "What", "Tell me about", "Give me", "I want to", "List")),
)
_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Head:
    """How a dialogue begins.

    Attributes:
      system: the system prompt.
      opening: the first words of the user's message, perhaps none.
    """

    system: str
    opening: str


def draw_head(rng: np.random.Generator) -> Head:
    """One head; kinds have the shares of the table above."""
    _, systems, openings = _KINDS[rng.choice(len(_KINDS), p=[kind[0] for kind in _KINDS])]
    return Head(system=str(rng.choice(systems)), opening=str(rng.choice(openings)))


def render_head(chat: ChatTemplate, head: Head) -> str:
    """The prompt up to where the model goes on with the user's message."""
    messages = [
        {"role": "system", "content": head.system},
        {"role": "user", "content": head.opening + _MARK},
    ]
    return chat.render(messages, add_generation_prompt=False).partition(_MARK)[0]
