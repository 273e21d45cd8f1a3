"""Reads the header of a GGUF file: metadata and the list of its tensors, nothing of their values.

Every count is held against a limit and against the bytes that are there before anything of that
size is made, so that time and memory are bounded by the file's own size. The format is that of
ggml's `docs/gguf.md`, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

from tandem_export.errors import TandemError
from tandem_export.jsontypes import Json, JsonObject
from tandem_export.storage.files import open_regular, refuse_pointer

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# Far above what is in use: a vocabulary of 262,144 tokens has 515,000 merges.
KEYS, TENSORS, ITEMS, TEXT = 2**16, 2**16, 2**22, 2**26
DIMENSIONS = 4
_STRING, _ARRAY, _BOOL = 8, 9, 7
# By the format's type numbers.
_DTYPES = {
    number: np.dtype(f"<{code}")
    for number, code in enumerate(("u1", "i1", "u2", "i2", "u4", "i4", "f4", "u1"))
} | {10: np.dtype("<u8"), 11: np.dtype("<i8"), 12: np.dtype("<f8")}
# The fewest bytes of a key with its value, and of a tensor's record.
_KEY_BYTES, _TENSOR_BYTES = 13, 24


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """One tensor as the header lists it.

    Attributes:
      shape: outermost axis first; the format stores the innermost first.
      kind: the number of its type in ggml.
      start: where its bytes begin, from the beginning of the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What a header says.

    Attributes:
      fields: key -> int, float, bool, str, list of str, or array of numbers.
      tensors: in the order of the file, no name twice.
    """

    fields: Mapping[str, Json]
    tensors: tuple[TensorRecord, ...]


def read_gguf_header(path: Path, *, error: type[TandemError]) -> GgufHeader:
    """Reads the header of a GGUF file.

    Raises:
      TandemError: of the class `error`: as `open_regular`, or the header is not one of this format;
        the text says where.
    """
    with open_regular(path, error=error) as file:
        head = file.read(64)
        refuse_pointer(head, path.name, error=error)
        if not head.startswith(MAGIC):
            raise error(f"`{path.name}`: not a GGUF file, which begins with GGUF. Got: {head[:4]}")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            try:
                return _header(_Cursor(data))
            except _Fault as fault:
                raise error(f"`{path.name}`: the header cannot be read: {fault}") from None


class _Fault(Exception):
    """What is wrong with the bytes."""


class _Cursor:
    """A place in the bytes, which moves on with everything that is read."""

    def __init__(self, data: mmap) -> None:
        self._data, self.at = data, len(MAGIC)

    @property
    def left(self) -> int:
        """The bytes from here to the end of the file."""
        return len(self._data) - self.at

    def _pass(self, size: int, what: str) -> int:
        at = self.at
        if size > self.left:
            raise _Fault(
                f"{what} at byte {at} has {size} bytes, and the file ends after {self.left}. Is it "
                "cut short? Download it again"
            )
        self.at += size
        return at

    def number(self, form: str, what: str) -> Json:
        at = self._pass(struct.calcsize(form), what)
        return struct.unpack_from(form, self._data, at)[0]

    def count(self, form: str, limit: int, least: int, what: str) -> int:
        """Returns a count of things of at least `least` bytes each."""
        value = self.number(form, what)
        if value > limit or value * least > self.left:
            most = min(limit, self.left // least)
            raise _Fault(f"{what} must be at most {most}. Got: {value}")
        return value

    def text(self, what: str) -> str:
        size = self.count("<Q", TEXT, 1, f"the length of {what}")
        at = self._pass(size, what)
        try:
            return self._data[at : at + size].decode("utf-8")
        except UnicodeDecodeError as problem:
            raise _Fault(f"{what} at byte {at} is not UTF-8") from problem

    def array(self, dtype: np.dtype, count: int, what: str) -> np.ndarray:
        at = self._pass(count * dtype.itemsize, what)
        return np.frombuffer(self._data[at : self.at], dtype)


def _header(cursor: _Cursor) -> GgufHeader:
    version = cursor.number("<I", "the version")
    if version & 0xFFFF == 0 and version:
        raise _Fault(
            "its numbers are big-endian. Run `gguf-convert-endian FILE little` on a copy of it"
        )
    if version not in VERSIONS:
        raise _Fault(f"the version must be one of {VERSIONS}. Got: {version}")
    tensors = cursor.count("<Q", TENSORS, _TENSOR_BYTES, "the number of tensors")
    keys = cursor.count("<Q", KEYS, _KEY_BYTES, "the number of keys")
    fields = _unique(cursor, keys, "key", _field)
    records = _unique(cursor, tensors, "tensor", _record)
    alignment = _alignment(fields)
    start = -(-cursor.at // alignment) * alignment
    return GgufHeader(
        fields=fields,
        tensors=tuple(
            TensorRecord(name=name, shape=shape, kind=kind, start=start + offset)
            for name, (shape, kind, offset) in records.items()
        ),
    )


def _unique(
    cursor: _Cursor, count: int, what: str, read: Callable[[_Cursor, str], Json]
) -> JsonObject:
    values: JsonObject = {}
    for _ in range(count):
        name = cursor.text(f"the name of a {what}")
        if name in values:
            raise _Fault(f"a {what} must not occur twice. Got: `{_brief(name)}`")
        values[name] = read(cursor, f"`{_brief(name)}`")
    return values


def _brief(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:80]}..."


def _field(cursor: _Cursor, what: str) -> Json:
    kind = cursor.number("<I", what)
    if kind == _ARRAY:
        return _items(cursor, what)
    if kind == _STRING:
        return cursor.text(what)
    return _scalar(cursor.array(_dtype(kind, what), 1, what)[0], kind)


def _items(cursor: _Cursor, what: str) -> Json:
    kind = cursor.number("<I", what)
    least = 8 if kind == _STRING else _dtype(kind, f"an item of {what}").itemsize
    count = cursor.count("<Q", ITEMS, least, f"the length of {what}")
    if kind == _STRING:
        return [cursor.text(what) for _ in range(count)]
    return cursor.array(_DTYPES[kind], count, what)


def _dtype(kind: int, what: str) -> np.dtype:
    if kind not in _DTYPES:
        rule = "a number, a bool, a text, or a list of them"
        raise _Fault(f"{what} must be {rule}. Got: a value of type {kind}")
    return _DTYPES[kind]


def _scalar(value: Json, kind: int) -> int | float | bool:
    if kind == _BOOL:
        return bool(value)
    # Stored as float32, 1e-06 comes as 9.99999997e-07. The shortest decimal is what was meant.
    return float(str(value)) if value.dtype == np.float32 else value.item()


def _record(cursor: _Cursor, what: str) -> tuple[tuple[int, ...], int, int]:
    axes = cursor.number("<I", f"the axes of {what}")
    if not 1 <= axes <= DIMENSIONS:
        raise _Fault(f"{what} must have 1 to {DIMENSIONS} axes. Got: {axes}")
    shape = tuple(cursor.number("<Q", f"the shape of {what}") for _ in range(axes))
    if not all(1 <= size < 2**40 for size in shape):
        raise _Fault(f"each axis of {what} must lie in 1 .. 2**40 - 1. Got: {list(shape)}")
    kind = cursor.number("<I", f"the type of {what}")
    return shape[::-1], kind, cursor.number("<Q", f"the offset of {what}")


def _alignment(fields: Mapping[str, Json]) -> int:
    value = fields.get("general.alignment", 32)
    if type(value) is not int or value < 1 or value & (value - 1):
        raise _Fault(f"`general.alignment` must be a power of two. Got: {value!r}")
    return value
