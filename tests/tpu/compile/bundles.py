"""A tiny bundle that was lowered for a TPU."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from tandem_export.checkpoint import read_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build
from tests.parity.bundles import shared_checkpoint

_FOLDER = tempfile.TemporaryDirectory()  # removed at exit


@functools.cache
def tpu_bundle(quantize: str = "none") -> Path:
    """One that this process builds once: a step and a block at batch 2."""
    options = BuildOptions(
        batch=(2,),
        gamma=(2,),
        prompt=(4,),
        cache=128,
        dtype="bfloat16",
        quantize=quantize,  # type: ignore[arg-type]
        attention="two_part",
        roles=("primary_block", "drafter_step"),
        platforms=("cpu", "tpu"),
    )
    folder = Path(_FOLDER.name, quantize)
    build(read_checkpoint(shared_checkpoint()), options, folder, check_values=False)
    return folder
