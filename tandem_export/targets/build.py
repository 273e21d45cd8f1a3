"""Builds a bundle: plans the graphs, writes weights, tokenizer, graphs and manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tandem_export.bundle import (
    CHAT_TEMPLATE,
    TOKENIZER,
    Bundle,
    BundleWriter,
    TargetFacts,
    locate_weights,
    map_weights,
    open_bundle,
)
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.graphs import BuildOptions, Graph, left_out
from tandem_export.jsontypes import JsonObject
from tandem_export.model import quantize
from tandem_export.progress import Progress, silent
from tandem_export.targets import card
from tandem_export.targets.context import BuildContext
from tandem_export.targets.manifest import new_manifest
from tandem_export.targets.registry import TARGETS, AnyTarget
from tandem_export.targets.validate.finite import check_finite

if TYPE_CHECKING:
    from tandem_export.checkpoint import Checkpoint


def build(
    checkpoint: Checkpoint,
    options: BuildOptions,
    out: str | Path,
    *,
    targets: Sequence[str] = ("stablehlo",),
    progress: Progress = silent,
    overwrite: bool = False,
    check_values: bool = True,
    target_options: Mapping[str, Any] | None = None,
) -> Bundle:
    """Writes a bundle of `checkpoint` to the folder `out` and opens it, hashes checked.

    Where no roles are named, those that cannot be built are left out; `graphs.left_out` lists them.

    Args:
      checkpoint: the pair, its vocabulary and tokenizer.
      options: buckets, dtype, forms, platforms.
      out: the bundle's folder; its name is the bundle's name.
      targets: which forms to build, from `TARGETS`.
      progress: called after each graph.
      overwrite: replace a bundle that stands at `out`.
      check_values: run every exported graph beside its function; see `export_graph`.
      target_options: target -> its record of options, such as `SavedModelOptions`; a target that is
        not named has its defaults.

    Raises:
      ConfigError: an unknown target, options of a target that is not built or of another class, or
        a role of `options.roles` or a target without a graph.
      CheckpointError: a graph needs a tensor that the checkpoint lacks or has in another shape, or
        a weight is not finite.
      ExportError: a graph failed its check.
      BundleError: `out` cannot be written. After any error `out` is as it was.
    """
    chosen = _choose(targets)
    choices = _choices(chosen, target_options or {})
    graphs = _plan(checkpoint, options, chosen)
    for part, weights in checkpoint.params.items():
        check_finite(part, weights, options.dtype)
    tensors = _tensors(checkpoint.params, options)
    for planned in graphs.values():
        _check_tensors(planned, tensors)
    with BundleWriter(out, overwrite=overwrite) as writer:
        _add_checkpoint(writer, checkpoint, tensors, options.dtype)
        facts = {}
        for name, target in chosen.items():
            context = BuildContext(
                config=checkpoint.config,
                options=options,
                graphs=graphs[name],
                tensors=map_weights(writer.weights),
                places=locate_weights(writer.weights),
                writer=writer,
                progress=progress,
                check_values=check_values,
                target_options=choices[name],
            )
            if (stated := target.write(context)) is not None:
                facts[name] = stated
        manifest = new_manifest(checkpoint, options, Path(out).name, list(chosen.values()))
        parity = {graph.parity for planned in graphs.values() for graph in planned}
        text = card.bundle_card(manifest, parity, _parameters(checkpoint))
        writer.add_file(card.NAME, text.encode())
        writer.commit(dataclasses.replace(manifest, targets=TargetFacts(**facts)))
    return open_bundle(out)


def _choose(targets: Sequence[str]) -> dict[str, AnyTarget]:
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise ConfigError(f"`targets` must be some of {sorted(TARGETS)}. Got: {list(targets)}")
    return {name: TARGETS[name] for name in targets}


def _choices(chosen: Mapping[str, AnyTarget], given: Mapping[str, Any]) -> JsonObject:
    """Returns the options of every target, defaults where none are given."""
    unused = sorted(set(given) - set(chosen))
    if unused:
        rule = f"`target_options` must be of targets that are built, {sorted(chosen)}"
        raise ConfigError(f"{rule}. Got: options of {unused[0]!r}")
    choices = {name: given.get(name, target.options()) for name, target in chosen.items()}
    for name, target in chosen.items():
        if not isinstance(choices[name], target.options):
            rule = f"`target_options[{name!r}]` must be of {target.options.__name__}"
            raise ConfigError(f"{rule}. Got: {choices[name]!r}")
    return choices


def _plan(
    checkpoint: Checkpoint, options: BuildOptions, chosen: Mapping[str, AnyTarget]
) -> dict[str, tuple[Graph, ...]]:
    """Returns the graphs of every target; targets of one planner share them."""
    left_out(checkpoint.config, options)  # raises where all of a role is
    planners = {target.plan for target in chosen.values()}
    planned = {plan: tuple(plan(checkpoint.config, options)) for plan in planners}
    for name, target in chosen.items():
        if not planned[target.plan]:
            rule = f"target {name!r} has no graph of the roles {list(options.wanted_roles)}"
            raise ConfigError(f"{rule}. Leave the target out, or name others in `roles`.")
    return {name: planned[target.plan] for name, target in chosen.items()}


def _add_checkpoint(
    writer: BundleWriter, checkpoint: Checkpoint, tensors: Mapping[str, np.ndarray], dtype: str
) -> None:
    writer.add_weights(tensors, dtype)
    writer.add_file(TOKENIZER, checkpoint.tokenizer_json.encode())
    if checkpoint.chat_template is not None:
        writer.add_file(CHAT_TEMPLATE, checkpoint.chat_template.encode())


def _tensors(
    parts: Mapping[str, Mapping[str, np.ndarray]], options: BuildOptions
) -> dict[str, np.ndarray]:
    stored = {
        part: quantize(tensors) if options.quantize == "int8" and part != "router" else tensors
        for part, tensors in parts.items()
    }
    return {f"{part}.{name}": t for part, tensors in stored.items() for name, t in tensors.items()}


def _parameters(checkpoint: Checkpoint) -> dict[str, int]:
    return {
        part: sum(map(np.size, tensors.values())) for part, tensors in checkpoint.params.items()
    }


def _check_tensors(graphs: Iterable[Graph], tensors: Mapping[str, np.ndarray]) -> None:
    for graph in graphs:
        for name, leaf in graph.params.items():
            got = tensors[name].shape if name in tensors else "no such tensor"
            if got != leaf.shape:
                rule = f"tensor {name!r} must have shape {leaf.shape}, for graph {graph.name}"
                raise CheckpointError(f"{rule}. Got: {got}")
