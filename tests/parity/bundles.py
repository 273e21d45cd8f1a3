"""Tiny pairs, and the bundles and checkpoints that are made of them."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from tandem_export.checkpoint import Checkpoint, Vocabulary, write_checkpoint
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions
from tandem_export.model import PARTS, has_part
from tandem_export.targets import build
from tests.tiny import LLAMA, TANDEM, random_params

CACHE = 32
PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [2, 9]]
PRIMARY = dataclasses.replace(LLAMA, num_layers=1)
DRAFTER = dataclasses.replace(TANDEM.drafter, num_layers=1)
PAIRS = {
    "tandem": dataclasses.replace(TANDEM, primary=PRIMARY, drafter=DRAFTER, layer_map=(1,)),
    "independent": TandemConfig(primary=PRIMARY, drafter=DRAFTER, kind="independent"),
}
# Nearly all of the probability is on one token.
PAIRS["peaked"] = PAIRS["tandem"]
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=CACHE,
    platforms=("cpu",),
    roles=(
        "prefill",
        "insert",
        "primary_block",
        "drafter_step",
        "router",
        "round",
        "round_router",
    ),
)
_WITHOUT_ROUTER = tuple(role for role in OPTIONS.roles if "router" not in role)
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit
COMPILED = Path(_FOLDER.name, "compiled")


def _parts(kind: str) -> dict[str, Any]:
    """What both a checkpoint in memory and one on disk are made of."""
    config = PAIRS[kind]
    size = config.primary.vocab_size
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return {
        "config": config,
        "vocabulary": Vocabulary(size=size, end_tokens=(0,)),
        "tokenizer_json": tokenizer.to_str(),
        "params": {p: _params(config, p, kind == "peaked") for p in PARTS if has_part(config, p)},
        "provenance": {},
    }


def _params(config: TandemConfig, part: str, peaked: bool) -> dict[str, np.ndarray]:
    """Random; output heads are scaled up, so that greedy choices are no near-ties."""
    own, scale = random_params(config, part, seed=len(part)), 3000 if peaked else 3
    sharp = ("head.weight",) if part != "router" else ()
    return {name: np.asarray(t * scale if name in sharp else t) for name, t in own.items()}


def shared_bundle(kind: str = "tandem", lossless: str = "exact") -> Path:
    """A bundle that this process builds once; the numeric one has no router."""
    return _built(kind, lossless)


@cache
def _built(kind: str, lossless: Any) -> Path:
    folder = Path(_FOLDER.name, f"{kind}-{lossless}")
    exact = lossless == "exact" and PAIRS[kind].router is not None
    roles = OPTIONS.roles if exact else _WITHOUT_ROUTER
    options = dataclasses.replace(OPTIONS, lossless=lossless, roles=roles)
    # The tests of the targets check values; here that would take most of the time.
    build(checkpoint(kind), options, folder, check_values=False)
    return folder


def checkpoint(kind: str) -> Checkpoint:
    """What `shared_bundle(kind)` is built of."""
    return Checkpoint(**_parts(kind), source={})


@cache
def shared_checkpoint() -> Path:
    """A tandem checkpoint that this process writes once."""
    folder = Path(_FOLDER.name, "checkpoint")
    write_checkpoint(folder, **_parts("tandem"))
    return folder
