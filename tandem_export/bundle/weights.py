"""The weight store: one safetensors file, written tensor by tensor, read without a copy.

The library's own writer holds the bytes of every tensor at once; this one holds one tensor at a
time, so a build needs about one copy of the weights. The format: 8 bytes little-endian header
length, a JSON header, the tensors back to back.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tandem_export.errors import BundleError

_CODES = {
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
_ALIGNMENT = 64
_NAMES = {code: name for name, code in _CODES.items()}


def numpy_dtype(name: str) -> np.dtype:
    """The dtype of a manifest's dtype name, `bfloat16` included."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def write_weights(path: Path, tensors: Mapping[str, Any], dtype: str | None) -> None:
    """Writes `tensors`, one at a time; floating ones are cast to `dtype`, None keeps them all.

    A tensor is a numpy array, or has `shape`, `dtype` and `__array__` and is made when it is its
    turn.

    Raises:
      BundleError: a tensor of a dtype that the format cannot hold; nothing is written.
    """
    # Wide dtypes first: each tensor then starts at a multiple of its item size, and can be mapped.
    kinds = {name: _stored(name, tensor.dtype, dtype) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (-kinds[name].itemsize, name))
    with path.open("wb") as file:
        file.write(_header(names, tensors, kinds))
        for name in names:
            # asarray, not ascontiguousarray: that one turns a scalar into a vector.
            whole = np.asarray(tensors[name], kinds[name], order="C")
            file.write(whole.reshape(-1).view(np.uint8).data)
            forget_pages(tensors[name])


def forget_pages(tensor: Any) -> None:
    """Hands back the memory of what was read of the mapped file behind `tensor`, if there is one.

    The array stays what it is: a page that is read again comes from the file.
    """
    while isinstance(tensor, np.ndarray):
        tensor = tensor.base
    source = tensor.obj if isinstance(tensor, memoryview) else tensor
    if isinstance(source, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def _stored(name: str, own: np.dtype, dtype: str | None) -> np.dtype:
    floating = own.kind == "f" or own == ml_dtypes.bfloat16
    kind = numpy_dtype(dtype) if floating and dtype is not None else own
    if kind.name not in _CODES:
        raise BundleError(f"tensor {name!r} must have a dtype of {sorted(_CODES)}. Got: {own.name}")
    return kind


def _header(names: list[str], tensors: Mapping[str, Any], kinds: Mapping[str, np.dtype]) -> bytes:
    entries, start = {}, 0
    for name in names:
        shape = tensors[name].shape
        end = start + int(np.prod(shape, dtype=np.int64)) * kinds[name].itemsize
        code = _CODES[kinds[name].name]
        entries[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    # Padded so that the data starts where wide vector loads are aligned.
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """Where a tensor lies in the weight file: `length` bytes from byte `offset` of the file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    length: int


def locate_weights(path: Path) -> dict[str, TensorPlace]:
    """Where every tensor of a weight file lies; only its header is read.

    Raises:
      BundleError: the header is damaged or points outside the file.
    """
    room = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(min(size, room))
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        return {name: _place(8 + size, room, entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "Copy the bundle again or rebuild it."
        raise BundleError(f"{path.name}: damaged safetensors header: {error}. {hint}") from error


def _place(data: int, room: int, entry: dict[str, Any]) -> TensorPlace:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= room - data:
        raise ValueError(f"a tensor lies at bytes {start}..{end} of {room - data}")
    kind, shape = numpy_dtype(_NAMES[entry["dtype"]]), tuple(entry["shape"])
    if int(np.prod(shape, dtype=np.int64)) * kind.itemsize != end - start:
        raise ValueError(f"a tensor of shape {shape} in {kind} lies at bytes {start}..{end}")
    return TensorPlace(dtype=kind, shape=shape, offset=data + start, length=end - start)


def map_weights(path: Path) -> dict[str, np.ndarray]:
    """Every tensor as a read-only view of the mapped file; pages are read when they are touched.

    Raises:
      BundleError: the header is damaged or points outside the file.
    """
    places = locate_weights(path)
    whole = np.memmap(path, np.uint8, "r")
    return {name: _view(whole, place) for name, place in places.items()}


def _view(whole: np.ndarray, place: TensorPlace) -> np.ndarray:
    data = whole[place.offset : place.offset + place.length]
    return data.view(place.dtype).reshape(place.shape)
