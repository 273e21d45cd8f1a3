"""Execution engines; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

from tandem_export.bundle import Bundle
from tandem_export.errors import ConfigError
from tandem_export.runtime.executor import Executor

__all__ = ["EXECUTORS", "make_executor"]

EXECUTORS = ("jax",)


def make_executor(
    name: str, bundle: Bundle, *, batch: int, compilation_cache: str | Path | None
) -> Executor:
    """The executor `name` with `batch` slots over `bundle`.

    Raises:
      ConfigError: an unknown name, or an engine that is not installed.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"`executor` must be one of {EXECUTORS}. Got: {name!r}")
    try:
        importlib.import_module("flatbuffers")  # jax.export asks for it when a graph is read
        from tandem_export.runtime.executors.jax import JaxExecutor
    except ModuleNotFoundError as error:
        hint = "Install it: pip install 'tandem-export[jax]'"
        raise ConfigError(f"executor 'jax' needs the package {error.name!r}. {hint}") from error
    return JaxExecutor(bundle, batch=batch, compilation_cache=compilation_cache)
