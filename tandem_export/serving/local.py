"""Loads a SavedModel as TensorFlow Serving does: a session, the tag `serve`, signatures by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tandem_export.errors import ConfigError, ServingError
from tandem_export.serving.protocol import (
    Field,
    Signature,
    check_answer,
    check_call,
    check_signatures,
    refused,
)

# The package, and what it makes: it has no types.
TensorFlow = Any

# TensorFlow reads it once, when XLA compiles for the first time in the process.
_FLAGS = "TF_XLA_FLAGS"
_SHOWN = 300


class LocalModel:
    """A loaded SavedModel; calls may come from several threads.

    Attributes:
      signatures: by name.
    """

    def __init__(self, folder: str | Path, *, compilation_cache: str | Path | None = None) -> None:
        """Loads the version folder `folder`; compiles nothing yet.

        Args:
          folder: holds `saved_model.pb`.
          compilation_cache: a folder where XLA keeps what it compiled; for the whole process.

        Raises:
          ConfigError: TensorFlow is not installed, or runs already with another cache.
          ServingError: TensorFlow cannot load it, or its signatures are not this project's.
        """
        use_compilation_cache(compilation_cache)
        tf = _tensorflow()
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        # "Use tf.saved_model.load instead": that one is not what a server does.
        try:
            with self._graph.as_default(), _without_deprecations(tf):
                loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
            self._definitions = {
                name: definition
                for name, definition in loaded.signature_def.items()
                if not name.startswith("__")
            }
            signatures = {n: _signature(tf, d) for n, d in self._definitions.items()}
        except Exception as error:  # TensorFlow's loader raises what its parsers do.
            self._session.close()
            got = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
            rule = f"`{Path(folder).name}` must be a SavedModel that TensorFlow can load"
            raise ServingError(f"{rule}. Got: {got}. Rebuild the bundle.") from error
        self.signatures = check_signatures(signatures)
        # What it finds in the graph when it builds the callable are the two others.
        self._refusals = (tf.errors.OpError, ValueError, KeyError)
        self._calls: dict[str, TensorFlow] = {}

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Model.call`."""
        definition = check_call(self.signatures, signature, inputs)
        try:
            return check_answer(signature, definition, self.run(signature, inputs))
        except self._refusals as error:
            refusal = refused(signature, str(error))
            if refusal is None:
                got = " ".join(str(error).split())[:_SHOWN]
                raise ServingError(f"{signature}: TensorFlow cannot run it. Got: {got}") from error
            raise refusal from None

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature without `call`'s checks, and with TensorFlow's own errors."""
        definition = self.signatures[signature]
        values = self._callable(signature)(*(inputs[name] for name in sorted(definition.inputs)))
        return dict(zip(sorted(definition.outputs), values, strict=True))

    def _callable(self, signature: str) -> TensorFlow:
        if signature not in self._calls:
            definition = self._definitions[signature]
            feeds, fetches = (
                [infos[name].name for name in sorted(infos)]
                for infos in (definition.inputs, definition.outputs)
            )
            self._calls[signature] = self._session.make_callable(fetches, feeds)
        return self._calls[signature]

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces weights, by bundle name; those that no signature reads are left out."""
        import tensorflow as tf

        handles = [op for op in self._graph.get_operations() if op.type == "VarHandleOp"]
        named = {op.get_attr("shared_name").decode(): op.outputs[0] for op in handles}
        with self._graph.as_default():
            for name in sorted(set(values) & set(named)):
                fed = tf.compat.v1.placeholder(tf.as_dtype(values[name].dtype), values[name].shape)
                put = tf.raw_ops.AssignVariableOp(resource=named[name], value=fed)
                self._session.run(put, {fed: values[name]})

    def close(self) -> None:
        """Frees the session and all state in it."""
        self._session.close()


@contextmanager
def _without_deprecations(tf: TensorFlow) -> Iterator[None]:
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(before)


def use_compilation_cache(folder: str | Path | None) -> None:
    """Has XLA keep what it compiles in `folder`; None changes nothing.

    Raises:
      ConfigError: TensorFlow was configured for another folder, or for none, in this process.
    """
    if folder is None:
        return
    flag = f"--tf_xla_persistent_cache_directory={folder}"
    flags = os.environ.get(_FLAGS, "")
    if flag in flags.split():
        return
    if "tensorflow" in sys.modules:
        rule = "must be set before the process first loads TensorFlow, and stay the same"
        raise ConfigError(f"`compilation_cache` {rule}. Got: {str(folder)!r} after {flags!r}")
    os.environ[_FLAGS] = f"{flags} {flag}".strip()


def _tensorflow() -> TensorFlow:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        hint = "Install it: pip install 'tandem-export[tensorflow]'"
        raise ConfigError(f"executor 'tensorflow' needs {error.name!r}. {hint}") from error
    return tf


def _signature(tf: TensorFlow, definition: TensorFlow) -> Signature:
    def fields(infos: TensorFlow) -> dict[str, Field]:
        return {
            name: Field(
                tuple(dim.size for dim in info.tensor_shape.dim), tf.as_dtype(info.dtype).name
            )
            for name, info in infos.items()
        }

    return Signature(fields(definition.inputs), fields(definition.outputs))
