"""Builds a bundle: plans the graphs, writes weights, tokenizer, graphs and manifest."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tandem_export.bundle import (
    Bundle,
    BundleWriter,
    CheckpointRecord,
    Manifest,
    ModelRecord,
    open_bundle,
)
from tandem_export.bundle.layout import CHAT_TEMPLATE, TOKENIZER
from tandem_export.config import to_dict
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.graphs import BuildOptions, Graph, left_out
from tandem_export.model import quantize
from tandem_export.targets import card
from tandem_export.targets.registry import TARGETS, Target
from tandem_export.targets.savedmodel import SavedModelOptions
from tandem_export.targets.stablehlo.build import Progress
from tandem_export.targets.validate.finite import check_finite

if TYPE_CHECKING:
    from tandem_export.checkpoint import Checkpoint

_TOOLS = ("jax", "jaxlib", "flax", "numpy", "tandem-export")


def build(
    checkpoint: Checkpoint,
    options: BuildOptions,
    out: str | Path,
    *,
    targets: Sequence[str] = ("stablehlo",),
    progress: Progress | None = None,
    overwrite: bool = False,
    check_values: bool = True,
    savedmodel: SavedModelOptions | None = None,
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
      savedmodel: options of the target `savedmodel`.

    Raises:
      ConfigError: an unknown target, or a role of `options.roles` or a target without a graph.
      CheckpointError: a graph needs a tensor that the checkpoint lacks or has in another shape, or
        a weight is not finite.
      ExportError: a graph failed its check.
      BundleError: `out` cannot be written. After any error `out` is as it was.
    """
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise ConfigError(f"`targets` must be some of {sorted(TARGETS)}. Got: {list(targets)}")
    left_out(checkpoint.config, options)  # raises where all of a role is
    chosen = {name: TARGETS[name] for name in targets}
    # Targets of one plan share its graphs.
    plans = {target.plan for target in chosen.values()}
    graphs = {plan: plan(checkpoint.config, options) for plan in plans}
    for name, target in chosen.items():
        if not graphs[target.plan]:
            rule = f"target {name!r} has no graph of the roles {list(options.wanted_roles)}"
            raise ConfigError(f"{rule}. Leave the target out, or name others in `roles`.")
    for part, own in checkpoint.params.items():
        check_finite(part, own, options.dtype)
    tensors = _tensors(checkpoint.params, options)
    for own in graphs.values():
        _check_tensors(own, tensors)
    with BundleWriter(out, overwrite=overwrite) as writer:
        writer.add_weights(tensors, options.dtype)
        writer.add_file(TOKENIZER, checkpoint.tokenizer_json.encode())
        if checkpoint.chat_template is not None:
            writer.add_file(CHAT_TEMPLATE, checkpoint.chat_template.encode())
        facts = {}
        for name, target in chosen.items():
            more = {"options": savedmodel} if name == "savedmodel" else {}
            planned = graphs[target.plan]
            facts[name] = target.write(
                planned, writer, options.platforms, progress, check_values=check_values, **more
            )
        manifest = _manifest(checkpoint, options, Path(out).name, list(chosen.values()))
        said = {name: own for name, own in facts.items() if own}
        parity = {graph.parity for planned in graphs.values() for graph in planned}
        writer.add_file(
            card.NAME, card.bundle_card(manifest, parity, _parameters(checkpoint)).encode()
        )
        writer.commit(dataclasses.replace(manifest, targets=said))
    return open_bundle(out)


def _tensors(
    parts: Mapping[str, Mapping[str, np.ndarray]], options: BuildOptions
) -> dict[str, np.ndarray]:
    stored = {
        part: quantize(own) if options.quantize == "int8" and part != "router" else own
        for part, own in parts.items()
    }
    return {f"{part}.{name}": t for part, own in stored.items() for name, t in own.items()}


def _parameters(checkpoint: Checkpoint) -> dict[str, int]:
    return {part: sum(map(np.size, own.values())) for part, own in checkpoint.params.items()}


def _check_tensors(graphs: Iterable[Graph], tensors: Mapping[str, np.ndarray]) -> None:
    for graph in graphs:
        for name, leaf in graph.params.items():
            got = tensors[name].shape if name in tensors else "no such tensor"
            if got != leaf.shape:
                rule = f"tensor {name!r} must have shape {leaf.shape}, for graph {graph.name}"
                raise CheckpointError(f"{rule}. Got: {got}")


def _manifest(
    checkpoint: Checkpoint, options: BuildOptions, name: str, targets: Sequence[Target]
) -> Manifest:
    now = datetime.now(UTC)
    return Manifest(
        name=name,
        created=now.isoformat(timespec="seconds"),
        model=_model(checkpoint),
        checkpoint=CheckpointRecord(
            source=dict(checkpoint.source), provenance=dict(checkpoint.provenance)
        ),
        options=dataclasses.asdict(options) | {"roles": options.wanted_roles},
        versions=_versions(targets),
        not_after=_not_after(now.date(), targets),
    )


def _model(checkpoint: Checkpoint) -> ModelRecord:
    config, vocabulary = to_dict(checkpoint.config), checkpoint.vocabulary
    router: dict[str, Any] | None = config["router"]
    return ModelRecord(
        kind=config["kind"],
        primary=config["primary"],
        drafter=config["drafter"],
        router=router,
        layer_map=checkpoint.config.layer_map,
        vocab_size=vocabulary.size,
        end_tokens=tuple(vocabulary.end_tokens),
        begin_token=vocabulary.begin_token,
        tau=None if router is None else router["tau"],
    )


def _not_after(today: date, targets: Sequence[Target]) -> dict[str, str | None]:
    parts = {part: days for target in targets for part, days in target.lifetime.items()}
    return {
        part: None if days is None else (today + timedelta(days=days)).isoformat()
        for part, days in parts.items()
    }


def _versions(targets: Sequence[Target]) -> dict[str, str]:
    tools = [*_TOOLS, *(tool for target in targets for tool in target.tools)]
    return {"python": platform.python_version()} | {tool: _version(tool) for tool in tools}


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return "not installed"  # tandem-export itself, run from a source tree
