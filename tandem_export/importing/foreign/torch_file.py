"""Reads tensors of a file that `torch.save` wrote, without torch and without unpickling."""

from __future__ import annotations

import math
import mmap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor, lazy
from tandem_export.importing.records import Storage, Strided, read_records
from tandem_export.storage import open_regular

_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
}
# What a description of tensors may take: a model of a million tensors stays below both.
_MOST_BYTES, _MOST_VALUES, _DEEPEST = 1 << 28, 1 << 20, 32
_LOCAL_HEADER = 30  # bytes of a record's own header in a zip archive, before its name


def read_torch(path: Path) -> dict[str, LazyTensor]:
    """Reads every tensor of a file by its name; tensors of nested dicts are `outer.inner`.

    Args:
      path: a zip archive of `torch.save`, as torch writes it since 1.6. Values are mapped.

    Raises:
      CheckpointError: an older or damaged archive, or one that holds more than dicts, lists,
        numbers, texts and tensors.
    """
    try:
        with open_regular(path, error=CheckpointError) as file, zipfile.ZipFile(file) as archive:
            records = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            tree = read_records(_description(archive, records))
            _check_byte_order(archive, records)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            "not a zip archive of `torch.save`; torch before 1.6 wrote another form: load the file "
            f"in torch and save it again. Got: {error}"
        ) from error
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {name: _tensor(name, tensor, records, data) for name, tensor in _flat(tree)}


def _description(archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo]) -> bytes:
    info = records.get("data.pkl")
    if info is None or info.file_size > _MOST_BYTES:
        got = "no such record" if info is None else f"{info.file_size} bytes"
        raise CheckpointError(
            f"a file of torch has a record `data.pkl` of at most {_MOST_BYTES} bytes. Got: {got}"
        )
    return archive.read(info)


def _check_byte_order(archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo]) -> None:
    info = records.get("byteorder")
    if info is not None and info.file_size != len("little"):
        raise CheckpointError(f"its values must be little-endian. Got: {archive.read(info)[:8]!r}")


def _flat(tree: object) -> Iterator[tuple[str, Strided]]:
    """Yields names and tensors; keys of dicts and indices of lists are joined by points."""
    waiting, seen = [((), tree)], 0
    while waiting:
        path, value = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES or len(path) > _DEEPEST:
            raise CheckpointError(
                f"a file of torch may hold {_MOST_VALUES} values, in dicts of depth {_DEEPEST}"
            )
        if isinstance(value, Strided):
            yield ".".join(path), value
        elif isinstance(value, dict):
            waiting += [((*path, str(key)), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, str(i)), inner) for i, inner in enumerate(value)]


def _tensor(
    name: str, tensor: Strided, records: dict[str, zipfile.ZipInfo], data: mmap.mmap
) -> LazyTensor:
    values = _values(name, tensor.storage, records, data)
    last = tensor.offset + sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    if math.prod(tensor.shape) and last >= len(values):
        raise CheckpointError(
            f"tensor `{name}` must lie within the {len(values)} values of its storage. Got: {last}"
        )
    steps = tuple(step * values.itemsize for step in tensor.stride)
    try:
        view = np.ndarray(
            tensor.shape, values.dtype, values, tensor.offset * values.itemsize, steps
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise CheckpointError(f"tensor `{name}` has no shape of an array. Got: {error}") from error
    return lazy(view)


def _values(
    name: str, storage: Storage, records: dict[str, zipfile.ZipInfo], data: mmap.mmap
) -> np.ndarray:
    """Returns the mapped values of a storage."""
    dtype, info = _DTYPES.get(storage.kind), records.get(f"data/{storage.key}")
    if dtype is None:
        raise CheckpointError(
            f"tensor `{name}` must be of one of {sorted(_DTYPES)}. Got: {storage.kind}"
        )
    if info is None or info.compress_type or info.file_size < storage.size * dtype.itemsize:
        raise CheckpointError(
            f"tensor `{name}`: its record `data/{storage.key}` must hold {storage.size} values of "
            f"{dtype}, not compressed. Got: {'no record' if info is None else info.file_size}"
        )
    at = info.header_offset
    sizes = np.frombuffer(data[at + _LOCAL_HEADER - 4 : at + _LOCAL_HEADER], "<u2")
    start = at + _LOCAL_HEADER + int(sizes.sum())
    if start + info.file_size > len(data):
        raise CheckpointError(f"tensor `{name}`: the file ends before its values")
    return np.frombuffer(data, dtype, storage.size, start)
