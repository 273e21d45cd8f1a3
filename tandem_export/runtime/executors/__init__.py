"""Execution engines; each is imported when it is asked for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path

from tandem_export.bundle import Bundle, read_manifest
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime.executors.spec import ENGINES, EngineFacts, ExecutorSpec, executor_names
from tandem_export.runtime.rounds.protocol import Steps
from tandem_export.serving import ClientOptions

__all__ = [
    "ENGINES",
    "EngineFacts",
    "ExecutorSpec",
    "default_executor",
    "executor_names",
    "executors_for",
    "make_executor",
    "usable_executors",
]

# Engines whose threads are the process's -> the process that started them.
_STARTED: dict[str, int] = {}


def usable_executors(
    path: str | Path, verify_key: str | Path | None = None
) -> tuple[ExecutorSpec, ...]:
    """Returns the executors in this process that the bundle at `path` has graphs for.

    Those whose engine is not installed are left out, unless that leaves none. Of the bundle only
    the manifest is read; it must be signed by `verify_key`, if there is one.

    Raises:
      BundleError: there is no bundle, one without graphs, or one that the key did not sign.
    """
    manifest = read_manifest(path, verify_key=verify_key)
    usable = executors_for({form for graph in manifest.graphs for form in graph.forms})
    if not usable:
        raise BundleError(f"the bundle {path} has no graphs. Build it again")
    return usable


def executors_for(forms: Collection[str]) -> tuple[ExecutorSpec, ...]:
    """Returns the executors over any of `forms`, the best first; see `usable_executors`."""
    fitting = {
        engine: facts.package
        for engine, facts in ENGINES.items()
        if facts.package is not None and facts.form in forms
    }
    installed = [engine for engine, package in fitting.items() if find_spec(package) is not None]
    return tuple(ExecutorSpec.parse(engine) for engine in installed or fitting)


def default_executor(path: str | Path, verify_key: str | Path | None = None) -> ExecutorSpec:
    """Returns the first of `usable_executors`.

    Raises:
      BundleError: as there.
    """
    return usable_executors(path, verify_key)[0]


def make_executor(
    executor: ExecutorSpec | str,
    bundle: Bundle,
    *,
    batch: int,
    batches: Sequence[int] = (),
    compilation_cache: str | Path | None,
    threads: int | None = None,
    serving: ClientOptions | None = None,
) -> Steps:
    """Returns an executor with `batch` slots over `bundle`.

    Args:
      executor: its name, such as `openvino:bfloat16+mapped`: see `ExecutorSpec`.
      bundle: with graphs in the form that it runs.
      batch: one of the bundle's batch buckets.
      batches: further ones that rows can be moved to, with `Steps.resize`.
      compilation_cache: a folder for compiled graphs, of `jax` and `tensorflow`.
      threads: of `onnxruntime` and `openvino`; None is all cores of the process.
      serving: deadline, retries and certificates of `tf-serving`.

    Raises:
      BundleError: the bundle has no graphs in the form that it runs.
      ConfigError: a name that is none, an engine that is not installed, or one that the process
        that forked this one has started.
      ServingError: a server does not answer, or serves another model.
    """
    spec = ExecutorSpec.parse(executor)
    graphs = bundle.in_form(spec.form)
    _check_not_forked(spec.engine)
    try:
        match spec.engine:
            case "onnxruntime":
                from tandem_export.runtime.executors.host.onnxruntime import onnxruntime_executor

                return onnxruntime_executor(
                    graphs, batch=batch, batches=batches, threads=threads, mapped=spec.mapped
                )
            case "openvino":
                from tandem_export.runtime.executors.host.openvino import openvino_executor

                return openvino_executor(
                    graphs,
                    batch=batch,
                    batches=batches,
                    precision=spec.precision or "float32",
                    threads=threads,
                    mapped=spec.mapped,
                )
            case "tensorflow":
                from tandem_export.runtime.executors.served.in_process import tensorflow_executor

                return tensorflow_executor(
                    graphs, batch=batch, batches=batches, compilation_cache=compilation_cache
                )
            case "tf-serving":
                from tandem_export.runtime.executors.served.remote import tf_serving_executor

                server = spec.address or ""
                return tf_serving_executor(
                    graphs, batch=batch, batches=batches, server=server, options=serving
                )
            case _:
                pass
        importlib.import_module("flatbuffers")  # jax.export asks for it when a graph is read
        from tandem_export.runtime.executors.jax import JaxExecutor
    except ModuleNotFoundError as error:
        hint = f"Install it: pip install 'tandem-export[{spec.facts.extra}]'"
        raise ConfigError(
            f"executor {spec.engine!r} needs the package {error.name!r}. {hint}"
        ) from error
    return JaxExecutor(graphs, batch=batch, batches=batches, compilation_cache=compilation_cache)


def _check_not_forked(kind: str) -> None:
    started = _STARTED.setdefault(kind, os.getpid())
    if kind in ("jax", "tensorflow") and started != os.getpid():
        rule = (
            f"executor {kind!r} cannot be loaded in a forked child of a process that has loaded it"
        )
        hint = 'its threads are not in the child. Start it by multiprocessing.get_context("spawn")'
        raise ConfigError(f"{rule}. Got: a child of process {started}; {hint}.")
