"""Reads safetensors: a bounded, checked header, then tensors as views of the mapped file.

The format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON header,
the tensors back to back. As the library does, this reader refuses gaps and overlaps.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol, TypeGuard

import ml_dtypes
import numpy as np

from tandem_export.errors import TandemError
from tandem_export.jsontypes import Json
from tandem_export.storage.files import open_regular, refuse_pointer
from tandem_export.storage.json_text import parse_json

# numpy's name -> the format's
CODES = {
    "float32": "F32",
    "bfloat16": "BF16",
    "float16": "F16",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
}
_NAMES = {code: name for name, code in CODES.items()}
# 100,000 tensors need about 12 MB.
HEADER_LIMIT = 16 * 2**20
_RANK, _LARGEST = 32, 2**62


class HasShape(Protocol):
    """An array, or what becomes one when its values are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The type of its values."""
        ...


def numpy_dtype(name: str) -> np.dtype:
    """Returns the dtype of numpy's name, `bfloat16` included."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """Where a tensor lies in a file: `length` bytes from byte `offset` of the file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    length: int


def locate_tensors(path: Path, *, error: type[TandemError]) -> dict[str, TensorPlace]:
    """Returns where every tensor of a safetensors file lies; only the header is read.

    Raises:
      TandemError: of the class `error`: not a whole safetensors file; the text says what is wrong.
    """
    with open_regular(path, error=error) as file:
        return _locate(file, path.name, error)


def map_tensors(path: Path, *, error: type[TandemError]) -> dict[str, np.ndarray]:
    """Returns read-only views of the mapped file; pages are read when they are touched.

    Raises:
      TandemError: of the class `error`: as `locate_tensors`.
    """
    with open_regular(path, error=error) as file:
        places = _locate(file, path.name, error)
        # A plain array: each operation on a subclass costs more.
        data = np.memmap(file, np.uint8, "r").view(np.ndarray)
    return {name: _view(data, place) for name, place in places.items()}


def _view(data: np.ndarray, place: TensorPlace) -> np.ndarray:
    piece = data[place.offset : place.offset + place.length]
    return piece.view(place.dtype).reshape(place.shape)


def _locate(file: BufferedReader, name: str, error: type[TandemError]) -> dict[str, TensorPlace]:
    room = os.fstat(file.fileno()).st_size
    head = file.read(64)
    refuse_pointer(head, name, error=error)
    size = int.from_bytes(head[:8], "little")
    if room < 8 or size > min(room - 8, HEADER_LIMIT):
        rule = f"its first 8 bytes must give a header's length, at most {HEADER_LIMIT}"
        raise _damaged(name, error, f"{rule}. Got: {size} in a file of {room} bytes")
    file.seek(8)
    entries = parse_json(file.read(size), name=f"{name}, header", error=error)
    if not isinstance(entries, dict):
        raise _damaged(name, error, f"the header must be a JSON object. Got: {str(entries)[:40]}")
    entries.pop("__metadata__", None)
    try:
        places = {key: _place(key, entry, 8 + size) for key, entry in entries.items()}
        _check_cover(places, 8 + size, room)
    except ValueError as problem:
        raise _damaged(name, error, str(problem)) from problem
    return places


def _damaged(name: str, error: type[TandemError], problem: str) -> TandemError:
    hint = "Copy the file again, or make it again"
    return error(f"`{name}`: not a whole safetensors file: {problem}. {hint}")


def _place(name: str, entry: Json, data: int) -> TensorPlace:
    dtype, shape, span = _fields(name, entry)
    if dtype not in _NAMES:
        raise ValueError(f"tensor {name!r} must be one of {', '.join(_NAMES)}. Got: {dtype}")
    kind, (start, end) = numpy_dtype(_NAMES[dtype]), span
    # Also where a size of 0 makes the product 0: numpy counts the others.
    if len(shape) > _RANK or math.prod(max(n, 1) for n in shape) * kind.itemsize > _LARGEST:
        raise ValueError(f"tensor {name!r} must have a shape that fits memory. Got: {shape[:4]}...")
    if math.prod(shape) * kind.itemsize != end - start:
        got = f"bytes {start} .. {end}"
        raise ValueError(f"tensor {name!r} of shape {shape} in {dtype} cannot lie at {got}")
    return TensorPlace(dtype=kind, shape=tuple(shape), offset=data + start, length=end - start)


def _fields(name: str, entry: Json) -> tuple[str, list[int], list[int]]:
    values = entry if isinstance(entry, dict) else {}
    dtype, shape, span = (values.get(key) for key in ("dtype", "shape", "data_offsets"))
    if isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(span) and len(span) == 2:
        return dtype, shape, span
    rule = "`dtype`, `shape` and two `data_offsets`, of whole numbers of at least 0"
    raise ValueError(f"tensor {name!r} must have {rule}. Got: {str(entry)[:80]}")


def _are_sizes(values: Json) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(places: dict[str, TensorPlace], start: int, end: int) -> None:
    for name, place in sorted(places.items(), key=lambda item: (item[1].offset, item[1].length)):
        if place.offset != start:
            raise ValueError(f"tensor {name!r} must begin at byte {start}. Got: {place.offset}")
        start += place.length
    if start != end:
        raise ValueError(f"the tensors must end where the file does, at {end}. Got: {start}")
