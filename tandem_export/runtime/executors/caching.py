"""JAX's persistent compilation cache."""

# Some of jax's functions have types in part only.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache


def use_compilation_cache(folder: str | Path | None) -> None:
    """Keeps compiled graphs in `folder`, for the whole process; None changes nothing.

    Without the two thresholds JAX leaves out what compiled in under a second; without the reset it
    stays with the first folder of the process.
    """
    now = getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009  (made at run time)
    if folder is None or str(folder) == now:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()
