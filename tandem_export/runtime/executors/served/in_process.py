"""The executor `tensorflow`: the bundle's SavedModel in this process, loaded as a server does."""

from __future__ import annotations

from pathlib import Path

from tandem_export.bundle import Bundle
from tandem_export.runtime.executors.served.executor import SessionExecutor
from tandem_export.serving import LocalModel


def tensorflow_executor(
    bundle: Bundle, *, batch: int, compilation_cache: str | Path | None = None
) -> SessionExecutor:
    """Loads the bundle's SavedModel.

    Raises:
      BundleError: the bundle has none, none with this batch, or one that does more than its graphs
        may.
      ConfigError: TensorFlow is not installed, or runs already with another compilation cache.
    """
    served = bundle.in_form("savedmodel")
    model = LocalModel(served.savedmodel_path(), compilation_cache=compilation_cache)
    model.assign(served.replaced)
    return SessionExecutor(bundle, batch=batch, model=model)
