"""Writes the SavedModel: one set of variables, every signature, with orbax.export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from jax.experimental import jax2tf
from orbax.export import ExportManager, JaxModule, ServingConfig

from tandem_export.serving import DEFAULT_SIGNATURE
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.savedmodel.session.pool import Pool
from tandem_export.targets.savedmodel.write.resources import resident_state
from tandem_export.targets.savedmodel.write.signatures import answer, input_specs, session_signature
from tandem_export.targets.stablehlo.settings import jax_settings


def save(
    methods: Sequence[Method],
    pool: Pool,
    weights: Mapping[str, np.ndarray],
    folder: Path,
    *,
    platforms: Sequence[str],
    calling_convention: int,
    default: str | None,
) -> None:
    """Traces, lowers and writes all methods as one SavedModel.

    Stateless methods are orbax.export serving configs. Those with state read the same module's
    variables; orbax.export takes them as additional signatures.

    Args:
      methods: what to write.
      pool: the state of the session methods.
      weights: by bundle name; those that no method reads are left out.
      folder: is made.
      platforms: what is lowered for, jax's names.
      calling_convention: jax.export's version.
      default: the stateless method that is also `serving_default`.
    """
    names = sorted({name for method in methods for name in method.params})
    options: dict[str, Any] = {"native_serialization_platforms": tuple(platforms)}
    stateless = [method for method in methods if not method.state]
    module = JaxModule(
        {name: weights[name] for name in names},
        {method.name: method.apply for method in stateless},
        trainable=False,
        jax2tf_kwargs={method.name: options for method in stateless},
    )
    # TensorFlow traces while it saves.
    with jax_settings(jax_export_calling_convention_version=calling_convention):
        manager = ExportManager(module, [_config(m, pool, default) for m in stateless])
        state = resident_state(pool.shapes if len(stateless) < len(methods) else {})
        # Any attribute of a tf.Module is tracked.
        manager.tf_module.state = state  # pyright: ignore[reportAttributeAccessIssue]
        variables = {v.name.removesuffix(":0"): v for v in manager.tf_module.variables}
        sessions = {
            method.name: session_signature(
                method,
                method.texts(pool.shapes),
                jax2tf.convert(method.apply, with_gradient=False, **options),
                {name: variables[name] for name in method.params},
                {name: state[name] for name in method.state},
            )
            for method in methods
            if method.state
        }
        manager.save(str(folder), signature_overrides=sessions)


def _config(method: Method, pool: Pool, default: str | None) -> ServingConfig:
    keys = [method.name, DEFAULT_SIGNATURE] if method.name == default else [method.name]
    return ServingConfig(
        signature_key=keys,
        method_key=method.name,
        input_signature=[input_specs(method)],
        tf_preprocessor=_without_state,
        tf_postprocessor=partial(answer, method.texts(pool.shapes)),
    )


def _without_state(inputs: dict[str, tf.Tensor]) -> dict[str, dict[str, tf.Tensor]]:
    return {"inputs": inputs, "state": {}}
