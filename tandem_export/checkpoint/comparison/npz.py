"""Reads `.npz` files of numpy without unpickling, and within bounds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tandem_export.errors import CheckpointError
from tandem_export.storage import open_regular

# What a compressed file may become: this many bytes, or so many times its own.
_MOST_BYTES, _MOST_TIMES = 1 << 30, 16


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an `.npz` file by name.

    Raises:
      CheckpointError: not such a file, with an array of Python objects, or out of all proportion
        when it is inflated.
    """
    try:
        with open_regular(path, error=CheckpointError) as file:
            with zipfile.ZipFile(file) as archive:
                size = sum(info.file_size for info in archive.infolist())
            limit = max(_MOST_BYTES, _MOST_TIMES * path.stat().st_size)
            if size > limit:
                raise CheckpointError(f"its arrays may have {limit} bytes. Got: {size}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except CheckpointError:
        raise
    except (ValueError, TypeError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"must be an .npz file of numbers. Got: {error}") from error
