"""The weight store: one safetensors file, written tensor by tensor, read without a copy.

The library's own writer holds the bytes of every tensor at once; this one holds one tensor at a
time, so a build needs about one copy of the weights. `tandem_export.storage` reads it.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from tandem_export.bundle.layout import WEIGHTS
from tandem_export.bundle.manifest import Manifest
from tandem_export.errors import BundleError
from tandem_export.storage import (
    CODES,
    HasShape,
    TensorPlace,
    locate_tensors,
    map_tensors,
    numpy_dtype,
)

_ALIGNMENT = 64


def write_weights(path: Path, tensors: Mapping[str, HasShape], dtype: str | None) -> None:
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
            values = np.asarray(tensors[name], kinds[name], order="C")
            file.write(values.reshape(-1).view(np.uint8).data)
            forget_pages(tensors[name])


def forget_pages(tensor: object) -> None:
    """Hands back the memory of what was read from the mapped file of `tensor`, if it has one.

    The array stays what it is: a page that is read again comes from the file.
    """
    source = _mapping_of(tensor)
    if source is not None and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def _mapping_of(tensor: object) -> mmap.mmap | None:
    while isinstance(tensor, np.ndarray):
        tensor = tensor.base
    source = tensor.obj if isinstance(tensor, memoryview) else tensor
    return source if isinstance(source, mmap.mmap) else None


class MappedFile:
    """Tells whether the weight file of mapped tensors is as long as when it was mapped.

    A read past the end of a file that somebody cut ends the process with SIGBUS. An engine asks
    before each prompt; between that and the end of the answer nothing can be had.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Finds the file; tensors that are not mapped are always good."""
        mappings = (_mapping_of(tensor) for tensor in tensors.values())
        self._mapping = next((one for one in mappings if one is not None), None)

    def check(self) -> None:
        """Compares the lengths; nothing of the file is read.

        Raises:
          BundleError: the file was cut.
        """
        if self._mapping is None or self._mapping.size() >= len(self._mapping):
            return
        rule = f"{WEIGHTS} must keep its {len(self._mapping)} bytes while an engine uses it"
        hint = "Build the bundle anew, or copy it, then load it again; builds replace whole folders"
        raise BundleError(f"{rule}; it was cut in place. Got: {self._mapping.size()}. {hint}.")


def _stored(name: str, given: np.dtype, dtype: str | None) -> np.dtype:
    floating = given.kind == "f" or given == ml_dtypes.bfloat16
    kind = numpy_dtype(dtype) if floating and dtype is not None else given
    if kind.name not in CODES:
        raise BundleError(
            f"tensor {name!r} must have a dtype of {sorted(CODES)}. Got: {given.name}"
        )
    return kind


def _header(
    names: list[str], tensors: Mapping[str, HasShape], kinds: Mapping[str, np.dtype]
) -> bytes:
    entries, start = {}, 0
    for name in names:
        shape = tensors[name].shape
        end = start + int(np.prod(shape, dtype=np.int64)) * kinds[name].itemsize
        code = CODES[kinds[name].name]
        entries[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    # Padded so that the data starts where wide vector loads are aligned.
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def locate_weights(path: Path) -> dict[str, TensorPlace]:
    """Returns where every tensor of a weight file lies; only its header is read.

    Raises:
      BundleError: the header is damaged or points outside the file.
    """
    return locate_tensors(path, error=BundleError)


def check_parameters(manifest: Manifest, places: Mapping[str, TensorPlace]) -> None:
    """Checks that every graph takes tensors that the weight store has.

    Raises:
      BundleError: a parameter is missing there, or has another shape or dtype.
    """
    store = {name: (str(place.dtype), place.shape) for name, place in places.items()}
    for graph in manifest.graphs:
        for spec in graph.params:
            got = store.get(spec.name)
            if got != (spec.dtype, spec.shape):
                rule = f"parameter {spec.name!r} must be {_shown(spec.dtype, spec.shape)}"
                rest = "none of that name" if got is None else _shown(*got)
                raise BundleError(
                    f"graph {graph.name!r}: {rule} in {WEIGHTS}. Got: {rest}. Rebuild the bundle."
                )


def _shown(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype}{list(shape)}"


def map_weights(path: Path) -> dict[str, np.ndarray]:
    """Maps every tensor as a read-only view of the file; pages are read when they are touched.

    Raises:
      BundleError: the header is damaged or points outside the file.
    """
    return map_tensors(path, error=BundleError)
