"""Tiny bundles with a SavedModel, built once a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tandem_export.bundle import Bundle
from tandem_export.graphs import BuildOptions
from tandem_export.serving import LocalModel
from tandem_export.targets import SavedModelOptions, build
from tests.pairs import checkpoint

CACHE, SLOTS, VOCAB = 64, 9, 17
EVERY_ROLE = BuildOptions(
    batch=(2,), gamma=(3,), prompt=(4,), cache=CACHE, max_new=8, platforms=("cpu", "tpu")
)
# Rounds of one row only, with room for many of them.
ROUNDS = BuildOptions(
    batch=(1,),
    gamma=(1,),
    prompt=(4,),
    cache=512,
    platforms=("cpu",),
    roles=("prefill", "insert", "round"),
)
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit


@cache
def every_role() -> Bundle:
    """All graphs at batch 2 and gamma 3, as StableHLO and as SavedModel."""
    return build_tiny("every", EVERY_ROLE, ("stablehlo", "savedmodel"))


@cache
def rounds_only() -> Bundle:
    """Rounds of gamma 0 and 1 at batch 1, as SavedModel only."""
    return build_tiny("rounds", ROUNDS, ("savedmodel",), SavedModelOptions(slots=SLOTS))


def build_tiny(
    name: str,
    options: BuildOptions,
    targets: tuple[str, ...],
    savedmodel: SavedModelOptions | None = None,
    *,
    check_values: bool = False,
) -> Bundle:
    return build(
        checkpoint("tandem"),
        options,
        Path(_FOLDER.name, name),
        targets=targets,
        check_values=check_values,
        target_options={} if savedmodel is None else {"savedmodel": savedmodel},
        overwrite=True,
    )


def model_folder(bundle: Bundle) -> Path:
    return bundle.path / bundle.savedmodel.folder


@cache
def local(kind: str) -> LocalModel:
    """The loaded SavedModel of `every_role` or `rounds_only`; its slots are shared by all tests."""
    return LocalModel(model_folder({"every": every_role, "rounds": rounds_only}[kind]()))
