"""Reads the tokenizer files of a Hugging Face folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from tandem_export.checkpoint.record import read_text
from tandem_export.errors import CheckpointError
from tandem_export.storage import load_tokenizer, tokenizer_text
from tandem_export.tokenizer.pieces import Kind, Pieces, to_tokenizer_json
from tandem_export.tokenizer.sentencepiece import read_pieces
from tandem_export.tokenizer.text import Text, with_special

_TEMPLATE = "chat_template.jinja"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def read_hugging_face(folder: Path) -> Text | None:
    """Tokenizer, end tokens and chat template of the folder; None without a tokenizer.

    End tokens are those of `generation_config.json`, `config.json` and `tokenizer_config.json`
    together.

    Raises:
      CheckpointError: no end token, or a `tokenizer.model` that cannot be converted.
    """
    settings = _json(folder / "tokenizer_config.json")
    if (folder / "tokenizer.json").is_file():
        tokenizer_json = tokenizer_text(read_text(folder / "tokenizer.json"), error=CheckpointError)
    elif (folder / "tokenizer.model").is_file():
        pieces = read_pieces(
            folder / "tokenizer.model", add_begin=settings.get("add_bos_token", True)
        )
        tokenizer_json = to_tokenizer_json(_with_added(pieces, folder, settings))
    else:
        return None
    special = _special(folder, settings)
    return Text(
        tokenizer_json=tokenizer_json,
        end_tokens=_end_tokens(folder, settings, tokenizer_json),
        chat_template=with_special(_chat_template(folder, settings), special),
        special=special,
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(read_text(path)) if path.is_file() else {}


def _with_added(pieces: Pieces, folder: Path, settings: dict[str, Any]) -> Pieces:
    """`pieces` with the tokens that the folder adds to, or renames in, `tokenizer.model`."""
    added = {int(token): entry for token, entry in settings.get("added_tokens_decoder", {}).items()}
    for text, token in _json(folder / "added_tokens.json").items():
        added.setdefault(token, {"content": text, "special": False})
    texts, scores, kinds = list(pieces.texts), list(pieces.scores), list(pieces.kinds)
    for token in sorted(added):
        if token > len(texts):
            raise CheckpointError(f"added tokens must follow each other. Got: {token} after a gap")
        kind = Kind.CONTROL if added[token].get("special") else Kind.USER_DEFINED
        if token == len(texts):
            texts, scores, kinds = [*texts, ""], [*scores, 0.0], [*kinds, kind]
        if kinds[token] not in (Kind.UNKNOWN, Kind.BYTE):
            texts[token], kinds[token] = added[token]["content"], kind
    return dataclasses.replace(pieces, texts=texts, scores=scores, kinds=kinds)


def _special(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """The texts of the special tokens that the folder names, by their names in templates."""
    named = _json(folder / "special_tokens_map.json") | settings
    texts = {name: _content(named.get(name)) for name in _SPECIAL}
    return {name: text for name, text in texts.items() if text is not None}


def _content(token: Any) -> str | None:
    """The text of a token, which stands alone or in a record."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _end_tokens(folder: Path, settings: dict[str, Any], tokenizer_json: str) -> tuple[int, ...]:
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = _json(folder / name).get("eos_token_id")
        found += [] if value is None else value if isinstance(value, list) else [value]
    own = _content(settings.get("eos_token"))
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    token = None if own is None else tokenizer.token_to_id(own)
    return tuple(dict.fromkeys([*found, *([] if token is None else [token])]))


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    if (folder / _TEMPLATE).is_file():
        return read_text(folder / _TEMPLATE)
    found = settings.get("chat_template")
    found = _json(folder / "chat_template.json").get("chat_template") if found is None else found
    if not isinstance(found, list):
        return found
    named = {entry["name"]: entry["template"] for entry in found}
    return named.get("default")
