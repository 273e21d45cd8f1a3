"""Tiny bundles, built for real and driven by the real engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models

from tandem_export.bundle import Bundle
from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions
from tandem_export.model import PARTS, Params, has_part
from tandem_export.targets import build
from tests.tiny import LLAMA, TANDEM, random_params

CACHE = 32
EVERY_ROLE = (
    "prefill",
    "insert",
    "primary_block",
    "drafter_step",
    "router",
    "round",
    "round_router",
)
# One layer each: what is tested is the loop around the graphs, and compiling takes the time.
PRIMARY = dataclasses.replace(LLAMA, num_layers=1)
DRAFTER = dataclasses.replace(TANDEM.drafter, num_layers=1)
CONFIGS = {
    "tandem": dataclasses.replace(TANDEM, primary=PRIMARY, drafter=DRAFTER, layer_map=(1,)),
    "independent": TandemConfig(primary=PRIMARY, drafter=DRAFTER, kind="independent"),
    # The drafter is the primary: every draft has to be accepted.
    "twin": TandemConfig(primary=PRIMARY, drafter=PRIMARY, kind="independent"),
}
ROLES = {
    "tandem": EVERY_ROLE,
    "independent": ("prefill", "insert", "primary_block", "drafter_step", "round"),
    "twin": ("prefill", "insert", "round"),
}


def build_tiny(kind: str, folder: Path) -> Bundle:
    config = CONFIGS[kind]
    params = {part: _params(config, part) for part in PARTS if has_part(config, part)}
    if kind == "twin":
        params["drafter"] = params["primary"]
    vocabulary = Vocabulary(size=config.primary.vocab_size, end_tokens=(0,))
    checkpoint = Checkpoint(
        config=config,
        vocabulary=vocabulary,
        tokenizer_json=_tokenizer(vocabulary.size).to_str(),
        params={p: {n: np.asarray(t) for n, t in own.items()} for p, own in params.items()},
        provenance={},
        source={},
    )
    options = BuildOptions(
        batch=(2,), gamma=(3,), prompt=(4,), cache=CACHE, roles=ROLES[kind], platforms=("cpu",)
    )
    return build(checkpoint, options, folder / kind, check_values=False)


def _params(config: TandemConfig, part: str) -> Params:
    """Random; output heads are scaled up, so that greedy choices are no near-ties."""
    own = random_params(config, part, seed=len(part))
    sharp = ("head.weight",) if part != "router" else ()
    return {name: value * 3 if name in sharp else value for name, value in own.items()}


def _tokenizer(size: int) -> Tokenizer:
    return Tokenizer(models.WordLevel({chr(97 + i): i for i in range(size)}, unk_token="a"))
