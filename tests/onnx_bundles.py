"""Tiny bundles with ONNX graphs, each built once per process."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tandem_export.bundle import Bundle
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build
from tests.pairs import CONFIGS, LOOP_ROLES, checkpoint, without_router

OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=32,
    platforms=("cpu",),
    roles=LOOP_ROLES,
)
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit


@cache
def shared_bundle(kind: str, *targets: str, **changes: Any) -> Bundle:
    """A bundle that this process builds once; ONNX graphs are checked by value."""
    name = "-".join((kind, *targets, *map(str, changes.values())))
    options = dataclasses.replace(OPTIONS, **changes)
    if CONFIGS[kind].router is None:
        options = dataclasses.replace(options, roles=without_router(options.roles))
    # The StableHLO target has tests of its own, and its check takes most of the time.
    check = "stablehlo" not in targets
    path = Path(_FOLDER.name, name)
    return build(checkpoint(kind), options, path, targets=targets, check_values=check)
