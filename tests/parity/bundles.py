"""Tiny pairs, and the bundles and checkpoints that are made of them."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from tandem_export.checkpoint import Checkpoint, write_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build
from tests import pairs
from tests.pairs import LOOP_ROLES, without_router

CACHE = 32
PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [2, 9]]
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=CACHE,
    platforms=("cpu",),
    roles=LOOP_ROLES,
)
_SHARPNESS = {"tandem": 3, "independent": 3, "peaked": 3000}
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit
COMPILED = Path(_FOLDER.name, "compiled")


def checkpoint(kind: str) -> Checkpoint:
    """What `shared_bundle(kind)` is built of; `peaked` has nearly all probability on a token."""
    pair = pairs.checkpoint("tandem" if kind == "peaked" else kind, sharpness=_SHARPNESS[kind])
    size = pair.vocabulary.size
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return dataclasses.replace(pair, tokenizer_json=tokenizer.to_str())


def shared_bundle(kind: str = "tandem", lossless: str = "exact") -> Path:
    """A bundle that this process builds once; the numeric one has no router."""
    return _built(kind, lossless)


@cache
def _built(kind: str, lossless: Any) -> Path:
    folder = Path(_FOLDER.name, f"{kind}-{lossless}")
    pair = checkpoint(kind)
    exact = lossless == "exact" and pair.config.router is not None
    roles = OPTIONS.roles if exact else without_router()
    options = dataclasses.replace(OPTIONS, lossless=lossless, roles=roles)
    # The tests of the targets check values; here that would take most of the time.
    build(pair, options, folder, check_values=False)
    return folder


@cache
def shared_checkpoint() -> Path:
    """A tandem checkpoint that this process writes once."""
    folder = Path(_FOLDER.name, "checkpoint")
    pair = checkpoint("tandem")
    write_checkpoint(
        folder,
        config=pair.config,
        vocabulary=pair.vocabulary,
        tokenizer_json=pair.tokenizer_json,
        params=pair.params,
        provenance=pair.provenance,
    )
    return folder
