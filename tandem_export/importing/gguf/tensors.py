"""The tensors of a GGUF file: where their bytes lie, and the values that they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

from tandem_export.errors import CheckpointError
from tandem_export.importing.lazy import LazyTensor
from tandem_export.storage import TensorRecord, open_regular

# Rows dequantised at a time: the library holds its result twice.
_ROWS = 4096


def read_tensors(path: Path, records: Sequence[TensorRecord]) -> dict[str, LazyTensor]:
    """Returns name -> tensor, float32, dequantised when it is read.

    Raises:
      CheckpointError: a type that is not known, or bytes that are not in the file or are another
        tensor's, too.
    """
    if not records:
        return {}
    with open_regular(path, error=CheckpointError) as file:
        data = np.asarray(np.memmap(file, np.uint8, "r"))
    rows = {record.name: _rows(record, data) for record in records}
    _check_apart(records, rows)
    return {record.name: _lazy(record, rows[record.name]) for record in records}


def type_name(record: TensorRecord) -> str:
    """Returns the name of a tensor's type in ggml, such as `Q4_K`."""
    return GGMLQuantizationType(record.kind).name


def _rows(record: TensorRecord, data: np.ndarray) -> np.ndarray:
    """Returns the bytes of a tensor, one row of values a row."""
    known = {int(kind) for kind in GGML_QUANT_SIZES}
    if record.kind not in known:
        raise CheckpointError(
            f"tensor `{record.name}`: its type must be one that the `gguf` package knows. "
            f"Got: type {record.kind}"
        )
    values, size = GGML_QUANT_SIZES[GGMLQuantizationType(record.kind)]
    width = record.shape[-1]
    if width % values:
        raise CheckpointError(
            f"tensor `{record.name}`: rows of {type_name(record)} must be a multiple of {values} "
            f"long. Got: {width}"
        )
    count, row = math.prod(record.shape[:-1]), width // values * size
    if record.start + count * row > len(data):
        raise CheckpointError(
            f"tensor `{record.name}` must lie in the file's {len(data)} bytes. Got: {count * row} "
            f"bytes from byte {record.start} on. Is the file cut short? Download it again"
        )
    return data[record.start : record.start + count * row].reshape(count, row)


def _check_apart(records: Sequence[TensorRecord], rows: dict[str, np.ndarray]) -> None:
    end, before = 0, ""
    for record in sorted(records, key=lambda record: record.start):
        if record.start < end:
            raise CheckpointError(
                f"tensor `{record.name}` must have bytes of its own. Got: some that are "
                f"`{before}`'s, too"
            )
        end, before = record.start + rows[record.name].size, record.name


def _lazy(record: TensorRecord, rows: np.ndarray) -> LazyTensor:
    read = partial(_dequantized, record, rows)
    return LazyTensor(shape=record.shape, dtype=np.dtype(np.float32), read=read)


def _dequantized(record: TensorRecord, rows: np.ndarray) -> np.ndarray:
    kind = GGMLQuantizationType(record.kind)
    out = np.empty((len(rows), record.shape[-1]), np.float32)
    try:
        for at in range(0, len(rows), _ROWS):
            out[at : at + _ROWS] = dequantize(rows[at : at + _ROWS], kind)
    except NotImplementedError as error:
        raise CheckpointError(
            f"tensor `{record.name}`: its type must be one that the `gguf` package can dequantize. "
            f"Got: {kind.name}"
        ) from error
    return out.reshape(record.shape)
