"""Whether weights are numbers: one NaN makes every token of a model the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tandem_export.bundle import forget_pages
from tandem_export.errors import CheckpointError
from tandem_export.storage import numpy_dtype

_PIECE = 2**22  # values at a time


def check_finite(part: str, tensors: Mapping[str, np.ndarray], dtype: str) -> None:
    """Checks that every floating weight is finite in the dtype that the bundle stores.

    A piece of a tensor is looked at at a time, and the pages of a mapped file are handed back.

    Raises:
      CheckpointError: one is not; the text names the tensor, and the first such weight.
    """
    for name, tensor in tensors.items():
        if np.issubdtype(tensor.dtype, np.integer):
            continue
        flat = np.asarray(tensor).reshape(-1)
        for start in range(0, flat.size, _PIECE):
            with np.errstate(over="ignore"):  # float32 to bfloat16
                values = flat[start : start + _PIECE].astype(numpy_dtype(dtype))
            odd = np.flatnonzero(~np.isfinite(values))
            if odd.size:
                place = [int(i) for i in np.unravel_index(start + odd[0], tensor.shape)]
                got = f"{flat[start + odd[0]]} at {place}"
                rule = f"tensor `{part}.{name}` must be finite in {dtype}"
                raise CheckpointError(f"{rule}. Got: {got}. Train or import the model again")
        forget_pages(tensor)
