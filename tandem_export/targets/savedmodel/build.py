"""Writes the SavedModel into a bundle, checks it, and puts the serving files beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax

from tandem_export.bundle import GraphRecord, SavedModelFacts
from tandem_export.bundle.vetting import Model, read_model, read_module, signature_of
from tandem_export.graphs import Graph
from tandem_export.targets.context import BuildContext
from tandem_export.targets.record import graph_record
from tandem_export.targets.savedmodel.options import MODEL_FILE, SavedModelOptions
from tandem_export.targets.savedmodel.session.methods import plan_methods
from tandem_export.targets.savedmodel.session.pool import make_pool


def build_savedmodel(context: BuildContext[SavedModelOptions]) -> SavedModelFacts:
    """Writes every graph as a signature of one SavedModel; returns its facts for the manifest.

    `progress` hears of all graphs once, at the end: TensorFlow writes them together. Values are
    compared for the first graph of each single step.

    Raises:
      ConfigError: steps with state are asked for without `insert`.
      ExportError: a module cannot be written for the wished StableHLO version, or the model that
        was written does not load with the planned signatures, or computes something else.
    """
    # TensorFlow takes seconds to load; nothing else in `targets` needs it.
    from tandem_export.serving import write_serving_files
    from tandem_export.targets.savedmodel.check import check_model
    from tandem_export.targets.savedmodel.compact.portable import make_portable
    from tandem_export.targets.savedmodel.write.export import save

    graphs, writer, options = context.graphs, context.writer, context.target_options
    platforms = context.options.platforms
    pool = make_pool(context.config, context.options, options.slots)
    methods = plan_methods(graphs, pool)
    default, folder = _default(graphs), writer.folder(options.folder)
    save(
        methods,
        pool,
        context.tensors,
        folder,
        platforms=platforms,
        calling_convention=options.calling_convention,
        default=default,
    )
    make_portable(folder, options.stablehlo_version)
    compared = graphs if context.check_values and jax.default_backend() in platforms else ()
    checked = check_model(folder, methods, compared, context.tensors, scratch=pool.scratch)
    written = read_model((folder / MODEL_FILE).read_bytes())
    for graph in graphs:
        record = _record(graph, platforms, options, written)
        difference = checked.differences.get(graph.name)
        writer.add_record(dataclasses.replace(record, difference=difference))
    signatures = {method.name: method.inputs for method in methods}
    batches = sorted({graph.batch for graph in graphs if graph.role == "generate"})
    write_serving_files(
        writer.folder("savedmodel"),
        options.version,
        options.model,
        signatures,
        batches,
        pool.scratch,
    )
    context.report(len(graphs), options.folder)
    return SavedModelFacts(
        folder=options.folder,
        model=options.model,
        version=options.version,
        slots=options.slots,
        calling_convention_version=options.calling_convention,
        stablehlo_version=options.stablehlo_version,
        minimum_tensorflow=options.minimum_tensorflow,
        tested_tensorflow=checked.tensorflow,
        default=default,
        signatures=tuple(sorted(signatures)),
    )


def _default(graphs: Sequence[Graph]) -> str | None:
    """Returns the name of `generate` at the smallest bucket."""
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
