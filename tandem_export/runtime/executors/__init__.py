"""Execution engines; each is imported when it is asked for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tandem_export.bundle import Bundle, open_bundle
from tandem_export.errors import BundleError, ConfigError
from tandem_export.runtime.rounds.protocol import Steps
from tandem_export.serving.client.client import ClientOptions

__all__ = [
    "EXECUTORS",
    "default_executor",
    "executors_for",
    "form_of",
    "make_executor",
    "usable_executors",
]

# executor -> the form of a graph that it runs
_FORMS = {
    "jax": "jax_export",
    "onnxruntime": "onnx",
    "openvino": "onnx",
    "tensorflow": "savedmodel",
    "tf-serving": "savedmodel",
}
EXECUTORS = tuple(_FORMS)
# executor -> the extra that brings its engine
_EXTRAS = {
    "jax": "jax",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "tensorflow": "tensorflow",
    "tf-serving": "serving",
}
# What may follow the name of an executor over ONNX graphs, each kind once.
_DETAILS = {
    "onnxruntime": {"mapped": {"mapped": True}},
    "openvino": {
        "mapped": {"mapped": True},
        "float32": {"precision": "float32"},
        "bfloat16": {"precision": "bfloat16"},
    },
}

# Engines whose threads are the process's -> the process that started them.
_STARTED: dict[str, int] = {}


# executor -> the package that it needs, the best first
_PACKAGES = {"jax": "jax", "onnxruntime": "onnxruntime", "openvino": "openvino"}
_PACKAGES |= {"tensorflow": "tensorflow"}


def usable_executors(path: str | Path) -> tuple[str, ...]:
    """Returns the executors in this process that the bundle at `path` has graphs for.

    Those whose engine is not installed are left out, unless that leaves none.

    Raises:
      BundleError: there is no bundle, or one without graphs.
    """
    bundle = open_bundle(path, verify_hashes=False, allow_expired=True)
    found = executors_for({kind for graph in bundle.manifest.graphs for kind in graph.forms})
    if not found:
        raise BundleError(f"the bundle {path} has no graphs. Build it again")
    return found


def executors_for(forms: Collection[str]) -> tuple[str, ...]:
    """Returns the executors over any of `forms`, the best first; see `usable_executors`."""
    fitting = [name for name in _PACKAGES if _FORMS[name] in forms]
    installed = [name for name in fitting if find_spec(_PACKAGES[name]) is not None]
    return tuple(installed or fitting)


def default_executor(path: str | Path) -> str:
    """Returns the first of `usable_executors`.

    Raises:
      BundleError: as there.
    """
    return usable_executors(path)[0]


def form_of(name: str) -> str:
    """The form of a bundle's graphs that the executor `name` runs.

    Raises:
      ConfigError: an unknown name, or an unknown detail after it.
    """
    kind = str(name).partition(":")[0]
    if kind not in _FORMS:
        raise ConfigError(f"`executor` must be one of {EXECUTORS}. Got: {name!r}")
    if kind != "tf-serving":
        _details(name)
    return _FORMS[kind]


def make_executor(
    name: str,
    bundle: Bundle,
    *,
    batch: int,
    compilation_cache: str | Path | None,
    threads: int | None = None,
    serving: ClientOptions | None = None,
) -> Steps:
    """The executor `name` with `batch` slots over `bundle`.

    `tf-serving` is followed by the server's address: `tf-serving:grpc://localhost:8500`. `openvino`
    may be followed by a precision, `openvino:bfloat16`; it and `onnxruntime` by `mapped`, to hold
    no copy of the weights; `openvino:bfloat16+mapped` is both. `threads` are those of these two,
    `serving` is of `tf-serving`.

    Raises:
      BundleError: the bundle has no graphs in the form that it runs.
      ConfigError: an unknown name or detail, an engine that is not installed, or one that the
        process that forked this one has started.
      ServingError: a server does not answer, or serves another model.
    """
    form = form_of(name)
    kind, _, detail = name.partition(":")
    own = bundle.in_form(form)
    _check_not_forked(kind)
    try:
        if kind == "onnxruntime":
            from tandem_export.runtime.executors.host.onnxruntime import onnxruntime_executor

            return onnxruntime_executor(own, batch=batch, threads=threads, **_details(name))
        if kind == "openvino":
            from tandem_export.runtime.executors.host.openvino import openvino_executor

            return openvino_executor(own, batch=batch, threads=threads, **_details(name))
        if kind == "tensorflow":
            from tandem_export.runtime.executors.served.in_process import tensorflow_executor

            return tensorflow_executor(own, batch=batch, compilation_cache=compilation_cache)
        if kind == "tf-serving":
            from tandem_export.runtime.executors.served.remote import tf_serving_executor

            return tf_serving_executor(own, batch=batch, server=detail, options=serving)
        importlib.import_module("flatbuffers")  # jax.export asks for it when a graph is read
        from tandem_export.runtime.executors.jax import JaxExecutor
    except ModuleNotFoundError as error:
        hint = f"Install it: pip install 'tandem-export[{_EXTRAS[kind]}]'"
        raise ConfigError(f"executor {kind!r} needs the package {error.name!r}. {hint}") from error
    return JaxExecutor(own, batch=batch, compilation_cache=compilation_cache)


def _check_not_forked(kind: str) -> None:
    started = _STARTED.setdefault(kind, os.getpid())
    if kind in ("jax", "tensorflow") and started != os.getpid():
        rule = (
            f"executor {kind!r} cannot be loaded in a forked child of a process that has loaded it"
        )
        hint = 'its threads are not in the child. Start it by multiprocessing.get_context("spawn")'
        raise ConfigError(f"{rule}. Got: a child of process {started}; {hint}.")


def _details(name: str) -> dict[str, Any]:
    kind, _, text = name.partition(":")
    known, words = _DETAILS.get(kind, {}), text.split("+") if text else []
    given = [known[word] for word in words if word in known]
    made = {key: value for one in given for key, value in one.items()}
    if words and not known:
        rule = f"executor {kind!r} takes nothing after its name"
        raise ConfigError(f"{rule}. Got: {name!r}")
    if len(made) < len(words):
        rule = f"`{kind}:` must be followed by some of {tuple(known)}, joined by +, one of a kind"
        raise ConfigError(f"{rule}. Got: {text!r}")
    return made
