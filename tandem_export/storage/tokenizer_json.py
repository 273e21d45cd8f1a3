"""Loads a tokenizer.json that somebody else wrote.

The `tokenizers` library is native code: some files make it panic, which Python sees as a
BaseException, some make it allocate until the process aborts, some make a text grow without end.
What aborts or grows is refused before the library reads the file, and panics become errors.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from tokenizers import Tokenizer

from tandem_export.errors import TandemError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage.json_text import parse_json

# Above every vocabulary in use; arrays with one item a token are made from it.
_IDS = 2**24
# Of a normalizer or decoder. Those in use have fewer than ten steps and replace text by as much.
_STEPS, _GROWTH = 64, 256
_NAME, _WRONG = "tokenizer.json", "not a tokenizer of the `tokenizers` library"
_PROBES = ("", "a", " A b\n\n12.", "é我\U0001f600")


def load_tokenizer(text: str, *, error: type[TandemError]) -> Tokenizer:
    """Returns the tokenizer of a tokenizer.json, less its truncation and padding.

    It is shared: change a copy. Truncation and padding are settings of the training that wrote the
    file: transformers, too, sets them anew for each call.

    Raises:
      TandemError: of the class `error`: not a tokenizer, or one whose native code fails.
    """
    return _loaded(text, error)


# The text side of an import asks for its tokenizer again and again.
@lru_cache(maxsize=1)
def _loaded(text: str, error: type[TandemError]) -> Tokenizer:
    text = tokenizer_text(text, error=error)
    with native_errors(_WRONG, error):
        tokenizer = Tokenizer.from_str(text)
    with native_errors("the tokenizer must encode and decode a text", error):
        for probe in _PROBES:
            # A vocabulary may lack these words: the request that brings them will say so.
            with suppress(Exception):
                tokenizer.decode(tokenizer.encode(probe).ids)
    return tokenizer


def encode_text(
    tokenizer: Tokenizer, text: str, *, what: str, error: type[TandemError], special: bool = True
) -> list[int]:
    """Returns the token ids of a text.

    Args:
      tokenizer: as `load_tokenizer` returns it.
      text: any text.
      what: names the text in an error.
      error: the class of what is raised.
      special: put the tokens around the text that the tokenizer puts there.

    Raises:
      TandemError: of the class `error`: the text is none of UTF-8, or the tokenizer fails.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        got = f"half of a surrogate pair at character {problem.start}"
        raise error(f"{what} must be a text that UTF-8 can write. Got: {got}") from problem
    with native_errors(f"{what} cannot be encoded", error):
        return tokenizer.encode(text, add_special_tokens=special).ids


def tokenizer_text(text: str, *, error: type[TandemError]) -> str:
    """Returns a tokenizer.json without truncation and padding: itself where it has none.

    Raises:
      TandemError: of the class `error`: it would abort the process that loads it.
    """
    values = parse_json(text, name=_NAME, error=error)
    try:
        _check(values)
    except ValueError as problem:
        raise error(f"{_WRONG}: {problem}") from problem
    if values.get("truncation") is None and values.get("padding") is None:
        return text
    return json.dumps(values | {"truncation": None, "padding": None}, ensure_ascii=False)


@contextmanager
def native_errors(what: str, error: type[TandemError]) -> Iterator[None]:
    """Makes errors of the class `error`, which begin with `what`, from those of the library."""
    try:
        yield
    except Exception as problem:  # The library raises bare `Exception`.
        raise error(f"{what}: {problem}") from problem
    except BaseException as problem:
        if type(problem).__module__ != "pyo3_runtime":
            raise
        raise error(f"{what}. Got: a fault in its native code: {problem}") from problem


def _check(values: Json) -> None:
    if not isinstance(values, dict):
        raise ValueError("it must hold a JSON object with a `model`")
    _check_model(values.get("model"))
    tokens = values.get("added_tokens") or []
    if isinstance(tokens, list):
        _check_ids([token.get("id") for token in tokens if isinstance(token, dict)])
    for part in ("normalizer", "decoder"):
        _check_steps(part, list(_steps(values.get(part))))


def _check_model(model: Json) -> None:
    if not isinstance(model, dict):
        raise ValueError("it must hold a JSON object with a `model`")
    prefix = model.get("continuing_subword_prefix")
    if model.get("type", "BPE") == "BPE" and prefix:
        raise ValueError(
            f"`model.continuing_subword_prefix` of a BPE must be empty: merges with one are read "
            f"past their end. Got: {str(prefix)[:40]!r}"
        )
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        _check_ids(vocabulary.values())


def _check_ids(ids: Json) -> None:
    for token in ids:
        if type(token) is not int or not 0 <= token < _IDS:
            raise ValueError(f"token ids must lie in 0 .. {_IDS - 1}. Got: {str(token)[:40]}")


def _steps(part: Json) -> Iterator[JsonObject]:
    """Yields the steps of a normalizer or decoder, those of sequences in their order."""
    if not isinstance(part, dict):
        return
    inner = part.get("normalizers", part.get("decoders"))
    if isinstance(inner, list):
        for each in inner:
            yield from _steps(each)
    else:
        yield part


def _check_steps(part: str, steps: list[JsonObject]) -> None:
    growth = 1.0
    for step in steps:
        if step.get("type") == "Replace":
            growth *= max(1.0, _growth(part, step))
        if step.get("type") == "Prepend" and not step.get("prepend"):
            raise ValueError(f"`{part}`: `prepend` must not be empty. Got: an empty one")
        if step.get("type") == "Precompiled":
            _check_charsmap(step.get("precompiled_charsmap"))
    if len(steps) > _STEPS or growth > _GROWTH:
        raise ValueError(
            f"`{part}` must have at most {_STEPS} steps, which make a text at most {_GROWTH} times "
            f"longer. Got: {len(steps)} steps, {growth:g} times"
        )


def _growth(part: str, step: JsonObject) -> float:
    """Returns how many times longer a `Replace` can make a text."""
    pattern, content = step.get("pattern"), str(step.get("content", ""))
    if isinstance(pattern, dict) and "String" in pattern:
        if not pattern["String"]:
            raise ValueError(f"`{part}`: the `pattern` to replace must not be empty")
        return len(content) / len(str(pattern["String"]))
    return float(len(content))  # an expression matches one character at least


def _check_charsmap(charsmap: Json) -> None:
    """Checks that the table lies in its bytes; a length beyond them aborts the process."""
    try:
        data = base64.b64decode(str(charsmap or ""), validate=True)
    except ValueError as problem:  # `binascii.Error`, or letters beyond ASCII
        raise ValueError(f"`precompiled_charsmap` must be base64: {problem}") from problem
    size = int.from_bytes(data[:4], "little")
    if data and (len(data) < 4 or size % 4 or size > len(data) - 4):
        raise ValueError(
            f"`precompiled_charsmap` must begin with the length of its table, in {len(data)} "
            f"bytes. Got: {size}"
        )
