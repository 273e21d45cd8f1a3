"""Whether this machine can hold the arrays that a bundle asks for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from tandem_export.bundle import TensorSpec
from tandem_export.errors import BundleError
from tandem_export.storage import numpy_dtype


def check_room(graph: str, specs: Iterable[TensorSpec]) -> None:
    """Checks that the state of a graph fits the machine's memory, before any of it is allocated.

    Raises:
      BundleError: it does not.
    """
    need = sum(math.prod(spec.shape) * numpy_dtype(spec.dtype).itemsize for spec in specs)
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > have:
        hint = "Load a smaller `batch`, or build with a smaller `cache`."
        raise BundleError(
            f"the state of graph {graph!r} must fit the {have} bytes of this machine's memory. "
            f"Got: {need} bytes. {hint}"
        )
