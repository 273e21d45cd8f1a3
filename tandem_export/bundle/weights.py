"""The weight store: one safetensors file, written tensor by tensor, read without a copy.

The library's own writer holds the bytes of every tensor at once; this one holds one tensor at a
time, so a build needs about one copy of the weights. The format: 8 bytes little-endian header
length, a JSON header, the tensors back to back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
_NAMES = {code: name for name, code in _CODES.items()}


def numpy_dtype(name: str) -> np.dtype:
    """The dtype of a manifest's dtype name, `bfloat16` included."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def write_weights(path: Path, tensors: Mapping[str, np.ndarray], dtype: str) -> None:
    """Writes `tensors`; floating ones are cast to `dtype`, one at a time, the others kept.

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
            file.write(np.asarray(tensors[name], kinds[name], order="C").tobytes())


def _stored(name: str, own: np.dtype, dtype: str) -> np.dtype:
    floating = own.kind == "f" or own == ml_dtypes.bfloat16
    kind = numpy_dtype(dtype) if floating else own
    if kind.name not in _CODES:
        raise BundleError(f"tensor {name!r} must have a dtype of {sorted(_CODES)}. Got: {own.name}")
    return kind


def _header(
    names: list[str], tensors: Mapping[str, np.ndarray], kinds: Mapping[str, np.dtype]
) -> bytes:
    entries, start = {}, 0
    for name in names:
        shape = tensors[name].shape
        end = start + int(np.prod(shape, dtype=np.int64)) * kinds[name].itemsize
        code = _CODES[kinds[name].name]
        entries[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def map_weights(path: Path) -> dict[str, np.ndarray]:
    """Every tensor as a read-only view of the mapped file; pages are read when they are touched.

    Raises:
      BundleError: the header is damaged or points outside the file.
    """
    whole = np.memmap(path, np.uint8, "r")
    size = int.from_bytes(whole[:8].tobytes(), "little")
    try:
        entries = json.loads(whole[8 : 8 + size].tobytes())
        entries.pop("__metadata__", None)
        data = whole[8 + size :]
        return {name: _view(data, entry) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "Copy the bundle again or rebuild it."
        raise BundleError(f"{path.name}: damaged safetensors header: {error}. {hint}") from error


def _view(data: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= data.size:
        raise ValueError(f"a tensor lies at bytes {start}..{end} of {data.size}")
    kind = numpy_dtype(_NAMES[entry["dtype"]])
    return data[start:end].view(kind).reshape(entry["shape"])
