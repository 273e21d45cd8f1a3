"""The executor `tf-serving`: the bundle's SavedModel in a TensorFlow Serving process."""

from __future__ import annotations

from collections.abc import Sequence

from tandem_export.bundle import Bundle
from tandem_export.errors import ConfigError
from tandem_export.runtime.executors.served.executor import SessionExecutor
from tandem_export.serving import ClientOptions, connect


def tf_serving_executor(
    bundle: Bundle,
    *,
    batch: int,
    server: str,
    batches: Sequence[int] = (),
    options: ClientOptions | None = None,
) -> SessionExecutor:
    """Connects to the server at the address `server`; see `tandem_export.serving.connect`.

    Raises:
      BundleError: the bundle has no SavedModel, or none with this batch.
      ConfigError: `server` is no address.
      ServingError: the server does not answer, or serves another model.
    """
    if bundle.replaced:
        rule = "the weights of a served model cannot be replaced; use the executor 'tensorflow'"
        raise ConfigError(f"{rule}. Got: {len(bundle.replaced)} tensors to replace")
    name = bundle.in_form("savedmodel").savedmodel.model
    client = connect(server, model=name, options=options)
    return SessionExecutor(bundle, batch=batch, batches=batches, model=client)
