"""Builds a bundle: plans the graphs, writes weights, tokenizer, graphs and manifest."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from tandem_export.bundle.layout import TOKENIZER
from tandem_export.config import to_dict
from tandem_export.errors import CheckpointError, ConfigError
from tandem_export.graphs import plan_graphs
from tandem_export.graphs.spec import BuildOptions, Graph
from tandem_export.targets.stablehlo import LIFETIME_DAYS, Progress, build_stablehlo

if TYPE_CHECKING:
    from tandem_export.checkpoint import Checkpoint

# (graphs, writer, platforms, progress, *, check_values)
TARGETS: dict[str, Callable[..., None]] = {"stablehlo": build_stablehlo}
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
) -> Bundle:
    """Writes a bundle of `checkpoint` to the folder `out` and opens it, hashes checked.

    Args:
      checkpoint: the pair, its vocabulary and tokenizer.
      options: buckets, dtype, forms, platforms.
      out: the bundle's folder; its name is the bundle's name.
      targets: which forms to build, from `TARGETS`.
      progress: called after each graph.
      overwrite: replace a bundle that stands at `out`.
      check_values: run every exported graph beside its function; see `export_graph`.

    Raises:
      ConfigError: an unknown target.
      CheckpointError: a graph needs a tensor that the checkpoint lacks or has in another shape.
      ExportError: a graph failed its check.
      BundleError: `out` cannot be written. After any error `out` is as it was.
    """
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise ConfigError(f"`targets` must be some of {sorted(TARGETS)}. Got: {list(targets)}")
    graphs = plan_graphs(checkpoint.config, options)
    tensors = _tensors(checkpoint.params)
    _check_tensors(graphs, tensors)
    with BundleWriter(out, overwrite=overwrite) as writer:
        writer.add_weights(tensors, options.dtype)
        writer.add_file(TOKENIZER, checkpoint.tokenizer_json.encode())
        for target in targets:
            TARGETS[target](graphs, writer, options.platforms, progress, check_values=check_values)
        writer.commit(_manifest(checkpoint, options, Path(out).name))
    return open_bundle(out)


def _tensors(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"{part}.{name}": t for part, own in parts.items() for name, t in own.items()}


def _check_tensors(graphs: Iterable[Graph], tensors: Mapping[str, np.ndarray]) -> None:
    for graph in graphs:
        for name, leaf in graph.params.items():
            got = tensors[name].shape if name in tensors else "no such tensor"
            if got != leaf.shape:
                rule = f"tensor {name!r} must have shape {leaf.shape}, for graph {graph.name}"
                raise CheckpointError(f"{rule}. Got: {got}")


def _manifest(checkpoint: Checkpoint, options: BuildOptions, name: str) -> Manifest:
    now = datetime.now(UTC)
    return Manifest(
        name=name,
        created=now.isoformat(timespec="seconds"),
        model=_model(checkpoint),
        checkpoint=CheckpointRecord(
            source=dict(checkpoint.source), provenance=dict(checkpoint.provenance)
        ),
        options=dataclasses.asdict(options),
        versions=_versions(),
        not_after=_not_after(now.date()),
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


def _not_after(today: date) -> dict[str, str | None]:
    return {
        part: (today + timedelta(days=days)).isoformat() for part, days in LIFETIME_DAYS.items()
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {tool: _version(tool) for tool in _TOOLS}


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return "not installed"  # tandem-export itself, run from a source tree
