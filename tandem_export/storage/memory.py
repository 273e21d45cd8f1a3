"""Memory of this process."""

from __future__ import annotations

import ctypes
import sys


def return_free_memory() -> None:
    """Gives what was freed back to the system, where the C library is glibc; it would keep it."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
