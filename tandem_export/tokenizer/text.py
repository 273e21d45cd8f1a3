"""What turns text into tokens and back, whatever format it came in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tandem_export.errors import CheckpointError
from tandem_export.storage import encode_text, load_tokenizer


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
    """Returns the token of each id, added tokens included."""
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    return {token: text for text, token in tokenizer.get_vocab(with_added_tokens=True).items()}


def begin_token(tokenizer_json: str) -> int | None:
    """Returns the id that the tokenizer puts before every text, or None."""
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    bare, full = (
        encode_text(tokenizer, "a", what="the text 'a'", error=CheckpointError, special=on)
        for on in (False, True)
    )
    return full[0] if full[:1] != bare[:1] else None


def with_special(template: str | None, special: Mapping[str, str]) -> str | None:
    """Writes the special tokens that a chat template names at its head.

    A template means those of the tokenizer's own settings, which a bundle does not keep: its begin
    token is the one that the tokenizer adds, and may be none, its end tokens are many.
    """
    used = {name: text for name, text in special.items() if template and name in template}
    if template is None or not used:
        return template
    texts = (f"{{% set {n} = {json.dumps(t, ensure_ascii=False)} %}}" for n, t in used.items())
    # The newline after a tag is not rendered, and the template still begins a line.
    return "".join(f"{text}\n" for text in texts) + template
