"""Changes to values, texts and bytes that a hostile or careless writer could make."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NESTED: Any = []
for _ in range(50):
    NESTED = [NESTED]
# What stands where something else was expected.
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    7,
    2**31 - 1,
    2**31,
    2**40,
    2**63,
    2**64,
    -(2**63),
    10**100,
    0.0,
    1.0,
    -1.5,
    0.5,
    1e-300,
    1e300,
    "",
    "0",
    "1",
    "x",
    "../../outside/secret",
    "/etc/hostname",
    "\u0000",
    "é\U0001f600",
    "a" * 5000,
    [],
    [0],
    [[]],
    [None],
    {},
    {"": 0},
    {"x": {}},
    NESTED,
)
ODD_TEXT: tuple[str, ...] = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1" + "0" * 5000,
    '"\\ud800"',
    "[" * 3000,
    '{"a":1,"a":2}',
    "{",
    "]",
    "\u0000",
    "\ufeff",
    "nul",
    "'x'",
    "// x",
    '"\\u0000"',
)


def odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(ODD))


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside `value`."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(path for key, item in inner for path in places(item, (*here, key)))]


def change_values(rng: random.Random, value: Any) -> Any:
    """A copy of a JSON value with one to three changes."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = places(value)
        path = rng.choice(paths)
        if not path:
            if rng.random() < 0.02:
                return odd(rng)
            continue
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        _change(rng, parent, path[-1], value, paths)
    return value


def _change(rng: random.Random, parent: Any, key: Any, root: Any, paths: list[Any]) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == 1:
        parent[rng.choice((str(key) + "x", "", "__metadata__", "x"))] = copy.deepcopy(parent[key])
    elif kind == 2:  # something from elsewhere in the same document
        other = root
        for step in rng.choice(paths):
            other = other[step]
        parent[key] = copy.deepcopy(other)
    elif kind == 3:
        parent[key] = _near(rng, parent[key])
    else:
        parent[key] = odd(rng)


def _near(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return rng.choice((value - 1, value + 1, -value, value * 2, float(value), str(value)))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e9, int(value), str(value)))
    if isinstance(value, str):
        return rng.choice((value[:-1], value + "x", value.upper(), value[::-1], [value]))
    return [value] if isinstance(value, (list, tuple)) else list(value.items())


def json_bytes(rng: random.Random, value: Any) -> bytes:
    """A JSON document with changes in its values, its text or its bytes."""
    kind = rng.random()
    if kind < 0.8:
        return json.dumps(change_values(rng, value)).encode()
    text = json.dumps(value)
    if kind < 0.9:
        at = rng.randrange(len(text) + 1)
        return (text[:at] + rng.choice(ODD_TEXT) + text[at:]).encode("utf-8", "surrogatepass")
    return change_bytes(rng, text.encode())


def change_bytes(rng: random.Random, data: bytes, where: range | None = None) -> bytes:
    """Some bytes changed, cut, doubled or put in; `where` says at which places."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        span = where or range(max(len(out), 1))
        at = min(rng.choice(span), len(out))
        rng.choice(_BYTES)(rng, out, at)
    return bytes(out)


def _flip(rng: random.Random, out: bytearray, at: int) -> None:
    if at < len(out):
        out[at] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, out: bytearray, at: int) -> None:
    if at < len(out):
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _word(rng: random.Random, out: bytearray, at: int) -> None:
    size = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1))
    out[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")


def _cut(rng: random.Random, out: bytearray, at: int) -> None:
    del out[at : at + rng.choice((1, 4, 64, len(out)))]


def _insert(rng: random.Random, out: bytearray, at: int) -> None:
    out[at:at] = rng.randbytes(rng.choice((1, 4, 64)))


def _double(rng: random.Random, out: bytearray, at: int) -> None:
    piece = out[at : at + rng.choice((4, 16, 256))]
    out[at:at] = piece


_BYTES: tuple[Callable[[random.Random, bytearray, int], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _word,
    _word,
    _cut,
    _insert,
    _double,
)
