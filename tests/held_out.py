"""P0 on the demo checkpoint: 64 held-out prompts, every gamma, batch 1 and 4, router on and off.

One test file for each dtype, so that they run side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tandem_export.checkpoint import read_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.parity import Report, VerifyOptions, verify
from tandem_export.targets import build
from tests.pairs import LOOP_ROLES

PROMPTS = 64
NEW_TOKENS = 8


def report(dtype: Literal["float32", "bfloat16"], folder: Path) -> Report:
    """Builds the demo in `dtype` and verifies it, with its own drafter and a hostile one."""
    options = BuildOptions(
        prompt=(64,), cache=128, dtype=dtype, roles=LOOP_ROLES, platforms=("cpu",)
    )
    checkpoint = read_checkpoint("demo:stdlib-mini")
    bundle = build(checkpoint, options, folder / "bundle", check_values=False)
    asked = VerifyOptions(
        prompts=PROMPTS,
        max_new_tokens=NEW_TOKENS,
        samples=0,
        compilation_cache=folder / "compiled",
    )
    return verify(bundle.path, asked)
