"""Checks the graphs of a bundle against what their roles may do."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from tandem_export.bundle.layout import WEIGHTS
from tandem_export.bundle.manifest import GraphRecord, TensorSpec
from tandem_export.bundle.vetting import allowed
from tandem_export.bundle.vetting.bytecode import Module, TensorType, read_module
from tandem_export.bundle.vetting.onnx import check_onnx
from tandem_export.bundle.vetting.reading import Malformed
from tandem_export.bundle.vetting.savedmodel import (
    check_files,
    check_nodes,
    read_model,
    signature_of,
)
from tandem_export.errors import BundleError

# What no graph uses must do no more than move arrays.
_LEAST = "insert"


@contextmanager
def _naming(what: str) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        hint = "Do not run it: build the bundle anew from its checkpoint, or copy it again."
        raise BundleError(f"{what}: {str(error).removesuffix('.')}. {hint}") from error


def check_graph(graph: GraphRecord, form: str, data: bytes) -> None:
    """Checks the bytes of one graph: `stablehlo/PLATFORM`, `stablehlo` of format 1, or `onnx`.

    Raises:
      BundleError: they cannot be read, hold an operation or a custom call that the role or the
        manifest does not allow, or take other arguments than the manifest says.
    """
    kind, _, platform = form.partition("/")
    with _naming(f"graph {graph.name!r} ({form})"):
        if kind == "onnx":
            check_onnx(data, WEIGHTS)
        elif kind == "stablehlo":
            module = read_module(data)
            _check_module(module, graph, form, (platform,) if platform else graph.platforms)
            _check_signature(module, graph, of_several=not platform and len(graph.platforms) > 1)
        else:
            raise Malformed("only StableHLO and ONNX are checked one graph at a time")


def check_model(graphs: Sequence[GraphRecord], files: Iterable[str], data: bytes) -> None:
    """Checks a SavedModel.

    Args:
      graphs: those of its signatures that are graphs.
      files: the paths in its version folder.
      data: its `saved_model.pb`.

    Raises:
      BundleError: as `check_graph`; also for files that TensorFlow could read in its place.
    """
    with _naming("the SavedModel"):
        check_files(files)
        model = read_model(data)
        check_nodes(model)
        reached: set[bytes] = set()
        for graph in graphs:
            for module in model.modules(signature_of(graph.name, graph.role)):
                reached.add(module)
                _check_module(read_module(module), graph, "savedmodel", graph.platforms)
        for node in model.every_node():
            if node.module is not None and node.module not in reached:
                _check_operations(read_module(node.module), _LEAST, ())


def _check_module(module: Module, graph: GraphRecord, form: str, platforms: Sequence[str]) -> None:
    _check_operations(module, graph.role, platforms)
    if form == "stablehlo":  # format 1 lists none
        return
    declared = graph.custom_calls.get(form, ())
    if not set(module.custom_calls) <= set(declared):
        rule = f"custom calls must be those of the manifest, {list(declared)}"
        raise Malformed(f"{rule}. Got: {list(module.custom_calls)}")


def _check_operations(module: Module, role: str, platforms: Sequence[str]) -> None:
    if role not in allowed.STABLEHLO:
        raise Malformed(f"`role` must be one of {sorted(allowed.STABLEHLO)}. Got: {role!r}")
    calls = allowed.custom_calls(role, platforms)
    where = f"of `{role}`" + (f" on {', '.join(platforms)}" if platforms else "")
    for what, used, may in (
        ("operations", module.operations - {"custom_call"}, allowed.STABLEHLO[role]),
        ("custom calls", set(module.custom_calls), calls),
        ("composites", set(module.composites), allowed.COMPOSITES),
    ):
        if strange := sorted(used - may):
            known = sorted(may) if len(may) < 8 else "those that compute arrays"
            raise Malformed(f"{what} {where} must be among {known}. Got: {strange}")


def _check_signature(module: Module, graph: GraphRecord, *, of_several: bool) -> None:
    """Checks a module of format 1, which takes its platform's index before all other arguments."""
    index = (TensorType((), "int32"),) if of_several else ()
    arguments = index + _types((*graph.params, *graph.state, *graph.inputs))
    results = _types((*graph.outputs, *graph.state))
    for what, got, want in (
        ("arguments", module.arguments, arguments),
        ("results", module.results, results),
    ):
        if got != want:
            first = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), -1)
            at = f"number {first}: {got[first]} in place of {want[first]}" if first >= 0 else ""
            rule = f"it must have the {len(want)} {what} of the manifest"
            raise Malformed(f"{rule}. Got: {at or len(got)}")


def _types(specs: Iterable[TensorSpec]) -> tuple[TensorType, ...]:
    return tuple(TensorType(spec.shape, spec.dtype) for spec in specs)
