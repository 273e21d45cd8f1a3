"""Writes the SavedModel into a bundle, checks it, and puts the serving files beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from tandem_export.bundle import BundleWriter, GraphRecord
from tandem_export.bundle.vetting import Model, read_model, read_module, signature_of
from tandem_export.bundle.weights import map_weights
from tandem_export.contract import STATELESS_ROLES, prefix_name, without_prefix
from tandem_export.errors import ConfigError
from tandem_export.graphs import Graph
from tandem_export.targets.record import graph_record
from tandem_export.targets.savedmodel.options import MODEL_FILE, SavedModelOptions
from tandem_export.targets.savedmodel.session.method import Method
from tandem_export.targets.savedmodel.session.methods import plan_methods
from tandem_export.targets.savedmodel.session.pool import Pool
from tandem_export.targets.stablehlo.build import Progress


def build_savedmodel(
    graphs: Sequence[Graph],
    writer: BundleWriter,
    platforms: Sequence[str],
    progress: Progress | None = None,
    *,
    check_values: bool = True,
    options: SavedModelOptions | None = None,
) -> dict[str, Any]:
    """Writes every graph as a signature of one SavedModel; returns its facts for the manifest.

    Args:
      graphs: what to write.
      writer: of the bundle; it holds the weights already.
      platforms: what the modules are lowered for, jax's names.
      progress: called once, at the end: TensorFlow writes all graphs at once.
      check_values: also compare one graph of each single step with its function.
      options: see there.

    Raises:
      ConfigError: steps with state are asked for without `insert`.
      ExportError: a module cannot be written for the wished StableHLO version, or the model that
        was written does not load with the planned signatures, or computes something else.
    """
    # TensorFlow takes seconds to load; nothing else in `targets` needs it.
    from tandem_export.serving.files import write_serving_files
    from tandem_export.targets.savedmodel.check import check_model
    from tandem_export.targets.savedmodel.compact.portable import make_portable
    from tandem_export.targets.savedmodel.write.export import save

    asked = options or SavedModelOptions()
    methods, pool = plan(graphs, asked)
    default, folder = _default(graphs), writer.folder(asked.folder)
    weights = map_weights(writer.weights)
    save(
        methods,
        pool,
        weights,
        folder,
        platforms=platforms,
        calling_convention=asked.calling_convention,
        default=default,
    )
    make_portable(folder, asked.stablehlo_version)
    compared = graphs if check_values and jax.default_backend() in platforms else ()
    checked = check_model(folder, methods, compared, weights, scratch=pool.scratch)
    written = read_model((folder / MODEL_FILE).read_bytes())
    for graph in graphs:
        writer.add_record(_record(graph, platforms, asked, written))
    signatures = {method.name: method.inputs for method in methods}
    batches = sorted({graph.batch for graph in graphs if graph.role == "generate"})
    write_serving_files(
        writer.folder("savedmodel"), asked.version, asked.model, signatures, batches, pool.scratch
    )
    if progress is not None:
        progress(len(graphs), len(graphs), asked.folder)
    return asked.facts() | checked | {"default": default, "signatures": sorted(signatures)}


def plan(graphs: Sequence[Graph], options: SavedModelOptions) -> tuple[list[Method], Pool]:
    """The signatures of `graphs`, and the pool of slots that those with state share.

    Raises:
      ConfigError: steps with state are asked for without `insert`.
    """
    insert = [graph for graph in graphs if graph.role == "insert"]
    if not insert and any(graph.role not in STATELESS_ROLES for graph in graphs):
        have = sorted({graph.role for graph in graphs})
        raise ConfigError(f"`roles` must have 'insert' for sessions in a SavedModel. Got: {have}")
    row = {
        name: graph.inputs[prefix_name(name)]
        for graph in insert[:1]
        for name in without_prefix(graph.inputs)
    }
    pool = Pool(slots=options.slots, row=row, vocab_size=_vocab_size(graphs))
    return plan_methods(graphs, pool), pool


def _vocab_size(graphs: Sequence[Graph]) -> int:
    """Tokens are ids of the primary's embedding; a bundle of routers alone takes none."""
    name = "primary.embedding.weight"
    return max((g.params[name].shape[0] for g in graphs if name in g.params), default=0)


def _default(graphs: Sequence[Graph]) -> str | None:
    """`generate` at the smallest bucket."""
    every = [graph for graph in graphs if graph.role == "generate"]
    smallest = min(every, key=lambda graph: (graph.batch, graph.width or 0), default=None)
    return None if smallest is None else smallest.name


def _record(
    graph: Graph, platforms: Sequence[str], options: SavedModelOptions, written: Model
) -> GraphRecord:
    record = graph_record(
        graph,
        calling_convention_version=options.calling_convention,
        stablehlo_version=options.stablehlo_version,
        platforms=tuple(platforms),
        difference=None,
        files={"savedmodel": f"{options.folder}/{MODEL_FILE}"},
    )
    modules = written.modules(signature_of(graph.name, graph.role))
    calls = sorted({target for module in modules for target in read_module(module).custom_calls})
    return dataclasses.replace(record, custom_calls={"savedmodel": tuple(calls)})
