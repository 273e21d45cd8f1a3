"""Tiny bundles, built for real and driven by the real engine."""

from __future__ import annotations

from pathlib import Path

from tandem_export.bundle import Bundle
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build
from tests.pairs import LOOP_ROLES, checkpoint, without_router

CACHE = 32
ROLES = {
    "tandem": LOOP_ROLES,
    "independent": without_router(),
    "twin": ("prefill", "insert", "round"),
}


def build_tiny(kind: str, folder: Path) -> Bundle:
    options = BuildOptions(
        batch=(2,), gamma=(3,), prompt=(4,), cache=CACHE, roles=ROLES[kind], platforms=("cpu",)
    )
    return build(checkpoint(kind), options, folder / kind, check_values=False)
