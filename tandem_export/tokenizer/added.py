"""Tokens beside a vocabulary: those that a folder adds, and those that a model has no row for."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tandem_export.errors import CheckpointError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage import encode_text, load_tokenizer, parse_json, read_json_object

_CONFIG, _LIST = "tokenizer_config.json", "added_tokens.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_IDS = 2**24


@dataclass(frozen=True, kw_only=True)
class AddedToken:
    """A token beside the vocabulary.

    Attributes:
      flags: those of the `tokenizers` library that are set.
    """

    text: str
    flags: frozenset[str]


def read_added(folder: Path, settings: Mapping[str, Json]) -> dict[int, AddedToken]:
    """Returns id -> token of `added_tokens_decoder` in `settings` and of `added_tokens.json`.

    Raises:
      CheckpointError: an id that is none, or a token without a text.
    """
    entries = settings.get("added_tokens_decoder") or {}
    if not isinstance(entries, dict):
        raise CheckpointError(f"`{_CONFIG}`: `added_tokens_decoder` must be an object of tokens")
    added = {_id(_CONFIG, key): _token(key, entry) for key, entry in entries.items()}
    if (folder / _LIST).exists():
        listed = read_json_object(folder / _LIST, error=CheckpointError, lenient=True)
        for text, token in listed.items():
            added.setdefault(_id(_LIST, token), AddedToken(text=text, flags=frozenset()))
    return added


def _id(file: str, given: Json) -> int:
    token = int(given) if isinstance(given, str) and given.isdecimal() else given
    if type(token) is not int or not 0 <= token < _IDS:
        raise CheckpointError(f"`{file}`: ids must lie in 0 .. {_IDS - 1}. Got: {str(given)[:40]}")
    return token


def _token(key: str, entry: Json) -> AddedToken:
    text = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not text:
        raise CheckpointError(
            f"`{_CONFIG}`: `added_tokens_decoder` must give token {key} a text in `content`. "
            f"Got: {str(entry)[:40]}"
        )
    return AddedToken(
        text=text, flags=frozenset(flag for flag in _FLAGS if entry.get(flag) is True)
    )


def with_added(tokenizer_json: str, added: Mapping[int, AddedToken]) -> str:
    """Returns a tokenizer.json with the tokens that it lacks, as `transformers` adds them.

    An id that the file gives to another token stays as the file has it.

    Raises:
      CheckpointError: the tokens do not follow the vocabulary and each other.
    """
    tokenizer = load_tokenizer(tokenizer_json, error=CheckpointError)
    known = tokenizer.get_vocab(with_added_tokens=True)
    ids = set(known.values())
    new = {i: t for i, t in sorted(added.items()) if t.text not in known and i not in ids}
    if not new:
        return tokenizer_json
    first = max(ids, default=-1) + 1
    if list(new) != list(range(first, first + len(new))):
        raise CheckpointError(
            f"`{_CONFIG}`: the tokens that `tokenizer.json` lacks must have the ids from {first} "
            f"on, none left out. Got: {list(new)[:8]}"
        )
    values = parse_json(tokenizer_json, name="tokenizer.json", error=CheckpointError)
    entries = [_entry(token, entry) for token, entry in new.items()]
    values["added_tokens"] = [*(values.get("added_tokens") or []), *entries]
    return json.dumps(values, ensure_ascii=False)


def _entry(token: int, entry: AddedToken) -> JsonObject:
    flags = {flag: flag in entry.flags for flag in _FLAGS}
    return {"id": token, "content": entry.text, **flags}


def added_texts(tokenizer_json: str) -> set[str]:
    """Returns the texts of the tokens that stand beside the vocabulary."""
    decoder = load_tokenizer(tokenizer_json, error=CheckpointError).get_added_tokens_decoder()
    return {token.content for token in decoder.values()}


def within_rows(tokenizer_json: str, rows: int) -> tuple[str, dict[int, str]]:
    """Returns a tokenizer.json without the added tokens that have no embedding row.

    Their texts are then read as any other text is. Gemma 3 is released with one such token, and so
    are models that were trained further with a `[PAD]`.

    Args:
      tokenizer_json: the text of a tokenizer.json.
      rows: of the embedding.

    Returns:
      The text, itself where nothing is dropped, and id -> token of what was.

    Raises:
      CheckpointError: a token of the vocabulary itself has no row, or one that is put around texts.
    """
    vocabulary = load_tokenizer(tokenizer_json, error=CheckpointError).get_vocab()
    beyond = {token: text for text, token in vocabulary.items() if token >= rows}
    if not beyond:
        return tokenizer_json, {}
    needed = set(beyond.values()) - added_texts(tokenizer_json)
    if needed:
        raise CheckpointError(
            f"the tokenizer must be of this model, whose embedding has {rows} rows. "
            f"Got: {len(vocabulary)} tokens, and {min(needed)!r} is one without a row"
        )
    values = parse_json(tokenizer_json, name="tokenizer.json", error=CheckpointError)
    text = json.dumps(_without(values, set(beyond.values())), ensure_ascii=False)
    tokenizer = load_tokenizer(text, error=CheckpointError)
    ids = encode_text(tokenizer, "a", what="the text 'a'", error=CheckpointError)
    if any(token >= rows for token in ids):
        raise CheckpointError(
            f"the tokenizer puts a token around every text that the model has no row for: its "
            f"embedding has {rows} rows. Got: ids {ids}"
        )
    return text, dict(sorted(beyond.items()))


def _without(values: JsonObject, texts: Collection[str]) -> JsonObject:
    added = [entry for entry in values["added_tokens"] if entry["content"] not in texts]
    model = dict(values["model"])
    # A vocabulary may list its added tokens too. No merge makes them: they are cut out before.
    if isinstance(model.get("vocab"), dict):
        model["vocab"] = {text: i for text, i in model["vocab"].items() if text not in texts}
    elif isinstance(model.get("vocab"), list):
        model["vocab"] = [piece for piece in model["vocab"] if piece[0] not in texts]
    return {**values, "added_tokens": added, "model": model}
