"""States what a build knows of its bundle: model, checkpoint, options, versions, expiry."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING

from tandem_export.bundle import BuildRecord, CheckpointRecord, Manifest, ModelRecord
from tandem_export.graphs import BuildOptions
from tandem_export.jsontypes import JsonObject
from tandem_export.targets.registry import AnyTarget

if TYPE_CHECKING:
    from tandem_export.checkpoint import Checkpoint

_TOOLS = ("jax", "jaxlib", "flax", "numpy", "tandem-export")


def new_manifest(
    checkpoint: Checkpoint, options: BuildOptions, name: str, targets: Sequence[AnyTarget]
) -> Manifest:
    """Returns the manifest of a bundle that is called `name`, without its graphs and files."""
    now = datetime.now(UTC)
    record: JsonObject = dataclasses.asdict(options) | {"roles": options.wanted_roles}
    return Manifest(
        name=name,
        created=now.isoformat(timespec="seconds"),
        model=_model(checkpoint),
        checkpoint=CheckpointRecord(
            source=dict(checkpoint.source), provenance=dict(checkpoint.provenance)
        ),
        options=BuildRecord(**record),
        versions=_versions(targets),
        not_after=_not_after(now.date(), targets),
    )


def _model(checkpoint: Checkpoint) -> ModelRecord:
    config, vocabulary = checkpoint.config, checkpoint.vocabulary
    return ModelRecord(
        kind=config.kind,
        primary=config.primary,
        drafter=config.drafter,
        router=config.router,
        layer_map=config.layer_map,
        vocab_size=vocabulary.size,
        end_tokens=tuple(vocabulary.end_tokens),
        begin_token=vocabulary.begin_token,
        tau=None if config.router is None else config.router.tau,
    )


def _not_after(today: date, targets: Sequence[AnyTarget]) -> dict[str, str | None]:
    parts = {part: days for target in targets for part, days in target.lifetime.items()}
    return {
        part: None if days is None else (today + timedelta(days=days)).isoformat()
        for part, days in parts.items()
    }


def _versions(targets: Sequence[AnyTarget]) -> dict[str, str]:
    tools = [*_TOOLS, *(tool for target in targets for tool in target.tools)]
    return {"python": platform.python_version()} | {tool: _version(tool) for tool in tools}


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return "not installed"  # tandem-export itself, run from a source tree
