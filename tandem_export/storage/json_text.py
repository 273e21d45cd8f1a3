"""JSON from outside: UTF-8, of bounded size and depth, each name once, finite numbers."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import NoReturn

from tandem_export.errors import TandemError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage.files import read_bytes

JSON_LIMIT = 64 * 2**20
# What is read is walked again, by functions that call themselves for each level.
JSON_DEPTH = 64
# The longest whole number that still becomes a float.
_DIGITS = 300
_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHOWN = 40


def read_json(
    path: Path, *, error: type[TandemError], limit: int = JSON_LIMIT, lenient: bool = False
) -> Json:
    """Reads a JSON file; see `parse_json`.

    Raises:
      TandemError: of the class `error`: as `read_bytes` and `parse_json`.
    """
    data = read_bytes(path, limit=limit, error=error)
    return parse_json(data, name=path.name, error=error, lenient=lenient)


def read_json_object(
    path: Path, *, error: type[TandemError], limit: int = JSON_LIMIT, lenient: bool = False
) -> JsonObject:
    """Reads a JSON file that holds an object.

    Raises:
      TandemError: of the class `error`: as `read_json`, or it holds something else.
    """
    values = read_json(path, error=error, limit=limit, lenient=lenient)
    if not isinstance(values, dict):
        raise error(f"`{path.name}`: must hold a JSON object. Got: {_brief(values)}")
    return values


def parse_json(
    data: bytes | str, *, name: str, error: type[TandemError], lenient: bool = False
) -> Json:
    """Returns the value of a JSON text.

    A byte order mark is passed over. Nothing that is returned is deeper than `JSON_DEPTH`, and each
    text in it can be written as UTF-8.

    Args:
      data: the text, or its bytes in UTF-8.
      name: of the file, for the error.
      error: the class of what is raised.
      lenient: take what Python's writers make and JSON does not have: NaN and infinities, and names
        that occur twice in an object, where the last one counts. For files of other projects.

    Raises:
      TandemError: of the class `error`: not such a text; the text says what is wrong and where.
    """
    try:
        raw = data.encode("utf-8") if isinstance(data, str) else data
        _check_depth(raw)
        hooks: JsonObject = {} if lenient else _STRICT
        values = json.loads(raw.removeprefix(_BOM).decode("utf-8"), parse_int=_whole, **hooks)
        if _SURROGATE.search(raw):
            _check_texts(values)
    except (ValueError, RecursionError) as problem:
        got = "" if not data else f". Got: {_brief(data)}"
        raise error(f"`{name}`: not a JSON document: {problem}{got}") from problem
    return values


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= JSON_DEPTH:
        return
    depth = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > JSON_DEPTH:
            raise ValueError(f"lists and objects are more than {JSON_DEPTH} deep")


def _check_texts(values: Json) -> None:
    """Refuses half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as problem:
        raise ValueError("a text holds half of a surrogate pair") from problem


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a whole number has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:_SHOWN]} is too large")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_doubles(pairs: list[tuple[str, Json]]) -> JsonObject:
    values = dict(pairs)
    if len(values) < len(pairs):
        most, count = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the name {most!r} occurs {count} times in an object")
    return values


_STRICT = {
    "parse_float": _finite,
    "parse_constant": _no_constant,
    "object_pairs_hook": _without_doubles,
}


def _brief(value: Json) -> str:
    if isinstance(value, bytes):
        value = value[:_SHOWN].decode("utf-8", "replace")
    text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."
