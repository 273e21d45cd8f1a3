"""The executor `tensorflow`: the bundle's SavedModel in this process, loaded as a server does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tandem_export.bundle import Bundle
from tandem_export.runtime.executors.served.executor import SessionExecutor
from tandem_export.serving import LocalModel


def tensorflow_executor(
    bundle: Bundle,
    *,
    batch: int,
    batches: Sequence[int] = (),
    compilation_cache: str | Path | None = None,
) -> SessionExecutor:
    """Loads the bundle's SavedModel.

    Raises:
      BundleError: the bundle has none, none with this batch, or one that does more than its graphs
        may.
      ConfigError: TensorFlow is not installed, or runs already with another compilation cache.
    """
    own = bundle.in_form("savedmodel")
    model = LocalModel(own.savedmodel_path(), compilation_cache=compilation_cache)
    model.assign(own.replaced)
    return SessionExecutor(bundle, batch=batch, batches=batches, model=model)
