"""What turns text into tokens and back, whatever format it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Text:
    """The text side of a model.

    Attributes:
      tokenizer_json: as the `tokenizers` library saves it.
      end_tokens: ids that end a text.
      chat_template: a jinja template that makes a prompt of messages, or None.
      special: the texts of `bos_token`, `eos_token`, `unk_token` and `pad_token`, those there are.
    """

    tokenizer_json: str
    end_tokens: tuple[int, ...]
    chat_template: str | None = None
    special: Mapping[str, str] = field(default_factory=dict)


def token_texts(tokenizer_json: str) -> dict[int, str]:
    """Id -> token, added tokens included."""
    vocabulary = Tokenizer.from_str(tokenizer_json).get_vocab(with_added_tokens=True)
    return {token: text for text, token in vocabulary.items()}


def begin_token(tokenizer_json: str) -> int | None:
    """The id that the tokenizer puts before every text, or None."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    bare, whole = (tokenizer.encode("a", add_special_tokens=on).ids for on in (False, True))
    return whole[0] if whole[0] != bare[0] else None
