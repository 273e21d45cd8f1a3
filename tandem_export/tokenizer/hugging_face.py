"""Reads the tokenizer files of a Hugging Face folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tandem_export.checkpoint import read_text
from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import (
    load_tokenizer,
    read_json_object,
    refuse_links_outside,
    tokenizer_text,
)
from tandem_export.tokenizer.added import AddedToken, read_added, with_added
from tandem_export.tokenizer.pieces import Kind, Pieces, to_tokenizer_json
from tandem_export.tokenizer.sentencepiece import read_pieces
from tandem_export.tokenizer.text import Text, with_special

_TEMPLATE = "chat_template.jinja"
_READ = (".json", ".jinja", ".model")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def read_hugging_face(folder: Path) -> Text | None:
    """Returns tokenizer, end tokens and chat template of the folder; None without a tokenizer.

    End tokens are those of `generation_config.json`, `config.json` and `tokenizer_config.json`
    together.

    Raises:
      CheckpointError: a file that is not what its name says, or a `tokenizer.model` that cannot be
        converted.
    """
    refuse_links_outside(folder, _READ, error=CheckpointError)
    settings = _json(folder / "tokenizer_config.json")
    added = read_added(folder, settings)
    if (folder / "tokenizer.json").exists():
        text = read_text(folder / "tokenizer.json").removeprefix("\ufeff")
        tokenizer_json = with_added(tokenizer_text(text, error=CheckpointError), added)
    elif (folder / "tokenizer.model").exists():
        begin = settings.get("add_bos_token", True)
        pieces = read_pieces(folder / "tokenizer.model", add_begin=begin is not False)
        tokenizer_json = to_tokenizer_json(_with_added_pieces(pieces, added))
    else:
        return None
    special = _special(folder, settings)
    return Text(
        tokenizer_json=tokenizer_json,
        end_tokens=_end_tokens(folder, settings, tokenizer_json),
        chat_template=with_special(_chat_template(folder, settings), special),
        special=special,
    )


def _json(path: Path) -> JsonObject:
    if not path.exists():
        return {}
    return read_json_object(path, error=CheckpointError, lenient=True)


def _with_added_pieces(pieces: Pieces, added: Mapping[int, AddedToken]) -> Pieces:
    """Returns `pieces` with the tokens that are added to, or renamed in, `tokenizer.model`."""
    texts, scores, kinds = list(pieces.texts), list(pieces.scores), list(pieces.kinds)
    for token in sorted(added):
        if token > len(texts):
            raise CheckpointError(f"added tokens must follow each other. Got: {token} after a gap")
        kind = Kind.CONTROL if "special" in added[token].flags else Kind.USER_DEFINED
        if token == len(texts):
            texts, scores, kinds = [*texts, ""], [*scores, 0.0], [*kinds, kind]
        if kinds[token] not in (Kind.UNKNOWN, Kind.BYTE):
            texts[token], kinds[token] = added[token].text, kind
    return dataclasses.replace(pieces, texts=texts, scores=scores, kinds=kinds)


def _special(folder: Path, settings: JsonObject) -> dict[str, str]:
    """Returns texts of the special tokens that the folder names, by their names in templates."""
    named = _json(folder / "special_tokens_map.json") | settings
    texts = {name: _content(named.get(name)) for name in _SPECIAL}
    return {name: text for name, text in texts.items() if text is not None}


def _content(token: Json) -> str | None:
    """Returns the text of a token, which stands alone or in a record."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _end_tokens(folder: Path, settings: JsonObject, tokenizer_json: str) -> tuple[int, ...]:
    ids: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = _json(folder / name).get("eos_token_id")
        listed = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(token) is int and token >= 0 for token in listed):
            rule = "an id, a list of ids, or null"
            raise CheckpointError(f"`{name}`: `eos_token_id` must be {rule}. Got: {value!r:.80}")
        ids += listed
    text = _content(settings.get("eos_token"))
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    token = None if text is None else tokenizer.token_to_id(text)
    return tuple(dict.fromkeys([*ids, *([] if token is None else [token])]))


def _chat_template(folder: Path, settings: JsonObject) -> str | None:
    if (folder / _TEMPLATE).exists():
        return read_text(folder / _TEMPLATE)
    value = settings.get("chat_template")
    value = _json(folder / "chat_template.json").get("chat_template") if value is None else value
    if isinstance(value, list):
        named = [entry for entry in value if isinstance(entry, dict)]
        value = next((e.get("template") for e in named if e.get("name") == "default"), None)
    if value is not None and not isinstance(value, str):
        rule = "a text, or a list of `name` and `template`"
        raise CheckpointError(f"`chat_template` must be {rule}. Got: {value!r:.80}")
    return value
