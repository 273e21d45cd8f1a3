"""What a pair is evaluated on: windows of a plain text, or conversations in the chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tandem_export.errors import RequestError
from tandem_export.jsontypes import Json
from tandem_export.runtime import ChatTemplate
from tandem_export.storage import encode_text, parse_json, read_text

CONVERSATIONS = ".jsonl"
# The start of a window that stands for a prompt where the text has none.
_HEAD = 32


@dataclass(frozen=True, kw_only=True)
class Text:
    """Tokens that the pair reads from position 0 on.

    Attributes:
      tokens: at least 2 ids.
      first: index of the first token that is counted; at least 1.
      head: tokens that are a prompt when the pair goes on by itself.
    """

    tokens: tuple[int, ...]
    first: int
    head: int

    @property
    def counted(self) -> int:
        """How many tokens are counted."""
        return len(self.tokens) - self.first


def read_texts(
    path: Path,
    tokenizer: Tokenizer,
    chat: ChatTemplate | None,
    *,
    window: int,
    begin: int | None,
    ends: Sequence[int],
) -> list[Text]:
    """Reads a text file.

    A name that ends in `.jsonl` is a file of conversations, one JSON object a line with `messages`
    (`role` and `content` each, the last by the assistant): what is counted is the last answer. Any
    other file is UTF-8 text, which is cut into windows; a begin token stands before each of them,
    if the tokenizer puts one before texts. Every token but a window's first is counted.

    Args:
      path: the file.
      tokenizer: of the bundle.
      chat: of the bundle.
      window: the most tokens that the pair reads in one piece. A longer conversation is cut; one
        whose answer begins after the cut is left out.
      begin: id of the begin token, if the model has one.
      ends: ids of the tokens that end an answer.

    Raises:
      RequestError: the file cannot be read, a line of it is no conversation, the bundle has no chat
        template for it, or nothing in it can be counted.
    """
    text = read_text(path, error=RequestError)
    if path.suffix == CONVERSATIONS:
        texts = list(_conversations(path, text, tokenizer, chat, window, ends))
    else:
        texts = list(_windows(path, text, tokenizer, window, begin))
    if not texts:
        rule = f"`{path.name}`: must hold a text of at least two tokens, or an answer that begins"
        raise RequestError(f"{rule} within {window} tokens. Got: nothing to count")
    return texts


def _windows(
    path: Path, text: str, tokenizer: Tokenizer, window: int, begin: int | None
) -> Iterator[Text]:
    ids = encode_text(tokenizer, text, what=f"`{path.name}`", error=RequestError)
    before = ids[:1] if ids[:1] == [begin] else []
    size = window - len(before)
    for at in range(len(before), len(ids), size):
        part = (*before, *ids[at : at + size])
        if len(part) > 1:
            yield Text(tokens=part, first=1, head=min(_HEAD, max(1, len(part) // 2)))


def _conversations(
    path: Path,
    text: str,
    tokenizer: Tokenizer,
    chat: ChatTemplate | None,
    window: int,
    ends: Sequence[int],
) -> Iterator[Text]:
    if chat is None:
        rule = f"`{path.name}`: conversations need a bundle with a chat template"
        raise RequestError(f"{rule}. Give a plain text, or import the pair with --chat-template.")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            prompt, answer = _turns(where, line, chat)
            head, rest = (
                encode_text(tokenizer, part, what=f"`{where}`", error=RequestError, special=False)
                for part in (prompt, answer)
            )
            tokens = (*head, *_up_to_end(rest, ends))[:window]
            if 0 < len(head) < len(tokens):
                yield Text(tokens=tokens, first=len(head), head=len(head))


def _turns(where: str, line: str, chat: ChatTemplate) -> tuple[str, str]:
    """Returns the prompt as the template writes it, and what follows it."""
    messages = _messages(where, parse_json(line, name=where, error=RequestError))
    prompt = chat.render(messages[:-1])
    conversation = chat.render(messages, add_generation_prompt=False)
    if not conversation.startswith(prompt):
        rule = f"`{where}`: with its answer, a conversation must begin as its prompt does"
        raise RequestError(f"{rule}; the chat template writes another text before the answer.")
    return prompt, conversation[len(prompt) :]


def _messages(where: str, value: Json) -> list[dict[str, str]]:
    messages: Json = value.get("messages") if isinstance(value, dict) else None
    listed = isinstance(messages, list) and len(messages) > 1 and all(map(_is_message, messages))
    if listed and messages[-1]["role"] == "assistant":
        return messages
    rule = f"`{where}`: must be an object with `messages`, each with `role` and `content`"
    got = repr(value)[:80]
    raise RequestError(f"{rule}, of which the last is the assistant's. Got: {got}")


def _is_message(value: Json) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("role", "content")
    )


def _up_to_end(ids: Sequence[int], ends: Sequence[int]) -> Sequence[int]:
    """Returns the ids up to the first that ends an answer: a pair writes nothing after it."""
    at = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: at + 1]


def evenly_spread(texts: Sequence[Text], tokens: int) -> list[Text]:
    """Returns texts from all over the file with about `tokens` tokens to count, one at least."""
    total = sum(text.counted for text in texts)
    count = min(len(texts), max(1, -(-tokens * len(texts) // total)))
    return [texts[i] for i in np.linspace(0, len(texts) - 1, count).round().astype(int).tolist()]
