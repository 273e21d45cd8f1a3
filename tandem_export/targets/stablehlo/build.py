"""StableHLO: each graph as a `jax.export` artifact around a portable StableHLO module."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
from jax import export

from tandem_export.bundle import Artifact, GraphRecord
from tandem_export.graphs import Arrays, Graph
from tandem_export.targets.context import BuildContext
from tandem_export.targets.errors import SerializationError
from tandem_export.targets.record import graph_record
from tandem_export.targets.stablehlo.aliases import pair_state
from tandem_export.targets.stablehlo.mesh import Placement
from tandem_export.targets.stablehlo.settings import jax_settings
from tandem_export.targets.validate import signature as checks
from tandem_export.targets.validate import values
from tandem_export.targets.validate.case import draw_case

# How long the two forms are promised to be readable, in days.
# jax.export: 6 months of backward compatibility, counted between the releases that export and load
# (https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees); jax 0.11.1 and later
# refuse older artifacts. StableHLO portable artifacts: 5 years, counted between commits
# (https://github.com/openxla/stablehlo/blob/main/docs/compatibility.md#guarantees).
# A release's own date is not recorded in it, so both are counted from the day of the build.
LIFETIME_DAYS = {"jax_export": 182, "stablehlo": 5 * 365}
# The producer that MLIR bytecode names in its header.
_PRODUCER = re.compile(rb"StableHLO_v(\d+\.\d+\.\d+)\0")

# Source locations are recorded as lines of this package, without callers and without the path to
# the package: a bundle's bytes do not depend on where it was built, nor by whom.
_LOCATIONS = {
    "jax_include_full_tracebacks_in_locations": False,
    "jax_hlo_source_file_canonicalization_regex": (
        r"^.*[/\\](?=tandem_export[/\\])|^.*[/\\]site-packages[/\\]"
    ),
}
# Tracing holds the interpreter anyway, and settings and warning filters are the process's.
_TRACING = threading.Lock()
# Bytes of parameters from which on graphs are checked one after the other.
_LARGE = 1 << 28


@dataclass(frozen=True, kw_only=True)
class ExportedGraph:
    """A graph's manifest record (without what depends on the platform), and its artifact."""

    record: GraphRecord
    artifact: Artifact


def build_stablehlo(context: BuildContext[None]) -> None:
    """Exports, checks and writes every graph.

    Each platform has an artifact of its own: what only one of them can run, such as memory that is
    set aside and not filled on a TPU, is in no other's.

    Graphs are compiled for their check on all cores, those of a large model one after the other;
    they are written in the order given.

    Raises:
      ExportError: a graph failed its check; see `export_graph`.
    """
    graphs, platforms = context.graphs, context.options.platforms

    def make(graph: Graph) -> dict[str, ExportedGraph]:
        return {p: export_graph(graph, p, check_values=context.check_values) for p in platforms}

    with ThreadPoolExecutor(_workers(graphs)) as pool:
        try:
            for index, exports in enumerate(pool.map(make, graphs)):
                record = _joint_record([one.record for one in exports.values()])
                artifacts = {platform: one.artifact for platform, one in exports.items()}
                context.writer.add_graph(record, artifacts)
                context.report(index + 1, record.name)
        finally:  # after a failure, what has not begun never will
            pool.shutdown(cancel_futures=True)


def _workers(graphs: Sequence[Graph]) -> int:
    """Returns how many graphs are built at once: a check holds random parameters in memory."""
    sizes = [sum(leaf.size * leaf.dtype.itemsize for leaf in g.params.values()) for g in graphs]
    return 1 if max(sizes, default=0) > _LARGE else os.cpu_count() or 1


def _joint_record(records: Sequence[GraphRecord]) -> GraphRecord:
    """Returns the record of a graph for several platforms; at most one of them ran here."""
    ran = [record for record in records if record.difference is not None]
    return (ran or records)[0]


def export_graph(
    graph: Graph,
    platform: str,
    *,
    check_values: bool = True,
    placed: Placement | None = None,
) -> ExportedGraph:
    """Exports one graph, reads it back and checks what came back.

    Args:
      graph: what to export.
      platform: what it is lowered for, jax's name such as `cpu` or `tpu`.
      check_values: also compile it and its function and compare results on random values. It is
        most of the time of a build. Needs this process to run on `platform`; where values
        are not compared, `record.difference` is None.
      placed: shardings of arguments and results; None is one device.

    Raises:
      SerializationError: jax.export refuses it, or its bytes cannot be read back.
      NameMismatchError, ShapeMismatchError, DtypeMismatchError: arguments or returned state.
      UnusedParameterError: `graph.params` has a parameter that no result depends on.
      DonationError: a state array is not donated, or another result takes its place.
      ValueMismatchError: the exported graph computes something else.
    """
    exported = _export(graph, platform, placed)
    version = stablehlo_version(exported.mlir_module_serialized)
    serialized = bytes(pair_state(exported, graph, version).serialize())
    loaded = _load(graph.name, serialized)
    checks.check_signature(loaded, graph)
    checks.check_donation(loaded, graph)
    compared = check_values and placed is None and export.default_export_platform() == platform
    difference = values.check_values(graph, _run(loaded), draw_case(graph)) if compared else None
    return ExportedGraph(
        record=_record(graph, loaded, difference),
        artifact=Artifact(jax_export=serialized, stablehlo=loaded.mlir_module_serialized),
    )


def _export(graph: Graph, platform: str, placed: Placement | None) -> export.Exported:
    exported = _export_with(graph, platform, placed, keep_unused=False)
    checks.check_params_used(exported, graph)
    if not checks.unused_arguments(exported, graph):
        return exported
    # Inputs and state belong to the role: they stay arguments where one bucket does not read them.
    return _export_with(graph, platform, placed, keep_unused=True)


def _export_with(
    graph: Graph, platform: str, placed: Placement | None, *, keep_unused: bool
) -> export.Exported:
    def function(params: Arrays, state: Arrays, inputs: Arrays) -> Any:
        return graph.function(params, state, inputs)

    function.__name__ = graph.name  # the module is called jit_<name>
    split: dict[str, Any] = {}
    if placed is not None:
        split = {"in_shardings": placed.arguments, "out_shardings": placed.results}
    jitted = jax.jit(function, donate_argnums=(1,), keep_unused=keep_unused, **split)
    try:
        with _TRACING, jax_settings(**_LOCATIONS), warnings.catch_warnings():
            # Which state is not donated, and why, is for the checks to say.
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            return export.export(jitted, platforms=(platform,))(
                graph.params, graph.state, graph.inputs
            )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise SerializationError(
            f"{graph.name} for {platform}: cannot be exported: {error}"
        ) from error


def _load(name: str, serialized: bytes) -> export.Exported:
    try:
        return export.deserialize(bytearray(serialized))
    except Exception as error:  # the flatbuffer reader raises whatever it stumbles over
        raise SerializationError(f"{name}: its bytes cannot be read back: {error!r}") from error


def _run(loaded: export.Exported) -> values.Run:
    def run(*arguments: values.Arrays) -> Any:
        with values.compiled(loaded.call) as call:
            return jax.device_get(call(*arguments))

    return run


def _record(graph: Graph, loaded: export.Exported, difference: float | None) -> GraphRecord:
    return graph_record(
        graph,
        calling_convention_version=loaded.calling_convention_version,
        stablehlo_version=stablehlo_version(loaded.mlir_module_serialized),
        difference=difference,
    )


def stablehlo_version(module: bytes) -> str:
    """Returns the StableHLO version that a portable artifact targets, from its bytecode header.

    Raises:
      SerializationError: the bytes are not a portable artifact.
    """
    match = _PRODUCER.search(module[:64])
    if match is None:
        rule = "a portable artifact must name its StableHLO version in its header"
        raise SerializationError(f"{rule}. Got: {module[:32]!r}")
    return match[1].decode()
