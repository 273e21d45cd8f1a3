"""Tokenizer, end tokens and chat template of the pair: the primary's, less what was asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tandem_export.checkpoint import Vocabulary, read_text
from tandem_export.errors import CheckpointError
from tandem_export.importing.options import ImportOptions
from tandem_export.storage import load_tokenizer
from tandem_export.tokenizer import (
    Text,
    begin_token,
    read_hugging_face,
    token_texts,
    with_special,
    within_rows,
)

_SHOWN = 4


def fitted(text: Text, rows: int) -> tuple[Text, list[str]]:
    """Returns `text` without the added tokens that have no embedding row, and notes on them.

    Args:
      text: what came with a model.
      rows: of the model's embedding.

    Raises:
      CheckpointError: tokens without a row are part of the vocabulary itself.
    """
    tokenizer_json, dropped = within_rows(text.tokenizer_json, rows)
    if not dropped:
        return text, []
    ends = tuple(token for token in text.end_tokens if token < rows)
    names = ", ".join(f"{name!r} ({token})" for token, name in list(dropped.items())[:_SHOWN])
    more = f" and {len(dropped) - _SHOWN} more" if len(dropped) > _SHOWN else ""
    note = f"the tokenizer is used without {names}{more}: the embedding has {rows} rows"
    return dataclasses.replace(text, tokenizer_json=tokenizer_json, end_tokens=ends), [note]


def chosen_text(options: ImportOptions, text: Text | None) -> Text:
    """Returns `text` with what `options` put in place of it, end tokens added.

    Raises:
      CheckpointError: there is no tokenizer or no end token, or an end token is unknown.
    """
    if options.tokenizer is not None:
        text = _read(options.tokenizer)
    if text is None:
        raise CheckpointError(
            "no tokenizer came with the primary: pass `tokenizer`, a `tokenizer.json` or a folder "
            "with `tokenizer.json` or `tokenizer.model`"
        )
    template = text.chat_template
    if options.chat_template is not None:
        template = with_special(read_text(options.chat_template), text.special)
    return dataclasses.replace(text, chat_template=template, end_tokens=_ends(options, text))


def _read(path: Path) -> Text | None:
    if path.is_dir():
        return read_hugging_face(path)
    return Text(tokenizer_json=read_text(path), end_tokens=(), chat_template=None)


def vocabulary_of(text: Text) -> Vocabulary:
    """Returns the vocabulary's size and special tokens."""
    return Vocabulary(
        size=max(token_texts(text.tokenizer_json)) + 1,
        end_tokens=text.end_tokens,
        begin_token=begin_token(text.tokenizer_json),
    )


def _ends(options: ImportOptions, text: Text) -> tuple[int, ...]:
    tokenizer = load_tokenizer(text.tokenizer_json, error=CheckpointError)
    end_tokens = list(text.end_tokens)
    for name in options.end_tokens:
        token = int(name) if name.isdigit() else tokenizer.token_to_id(name)
        if token is None:
            raise CheckpointError(f"`end_tokens` must be ids or texts of tokens. Got: {name!r}")
        end_tokens.append(token)
    if not end_tokens:
        raise CheckpointError("no end token came with the tokenizer: pass `end_tokens`")
    return tuple(dict.fromkeys(end_tokens))
