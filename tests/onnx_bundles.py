"""Tiny bundles with ONNX graphs, each built once per process."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from tandem_export.bundle import Bundle
from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions
from tandem_export.model import PARTS, has_part
from tandem_export.targets import build
from tests.tiny import LLAMA, TANDEM, random_params

PRIMARY = dataclasses.replace(LLAMA, num_layers=1)
DRAFTER = dataclasses.replace(TANDEM.drafter, num_layers=1)
CONFIGS = {
    "tandem": dataclasses.replace(TANDEM, primary=PRIMARY, drafter=DRAFTER, layer_map=(1,)),
    "independent": TandemConfig(primary=PRIMARY, drafter=DRAFTER, kind="independent"),
    # The drafter is the primary: every draft has to be accepted.
    "twin": TandemConfig(primary=PRIMARY, drafter=PRIMARY, kind="independent"),
}
OPTIONS = BuildOptions(
    batch=(2,),
    gamma=(2,),
    prompt=(4,),
    cache=32,
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
_FOLDER = tempfile.TemporaryDirectory()  # removed at exit


def checkpoint(kind: str) -> Checkpoint:
    config = CONFIGS[kind]
    params = {part: _params(config, part) for part in PARTS if has_part(config, part)}
    if kind == "twin":
        params["drafter"] = params["primary"]
    size = config.primary.vocab_size
    words = {chr(97 + i): i for i in range(size)}
    return Checkpoint(
        config=config,
        vocabulary=Vocabulary(size=size, end_tokens=(0,)),
        tokenizer_json=Tokenizer(models.WordLevel(words, unk_token="a")).to_str(),
        params=params,
        provenance={},
        source={},
    )


def _params(config: TandemConfig, part: str) -> dict[str, np.ndarray]:
    """Random; output heads are scaled up, so that greedy choices are no near-ties."""
    own = random_params(config, part, seed=len(part))
    sharp = ("head.weight",) if part != "router" else ()
    return {name: np.asarray(t * 3 if name in sharp else t) for name, t in own.items()}


@cache
def shared_bundle(kind: str, *targets: str, **changes: Any) -> Bundle:
    """A bundle that this process builds once; ONNX graphs are checked by value."""
    name = "-".join((kind, *targets, *map(str, changes.values())))
    options = dataclasses.replace(OPTIONS, **changes)
    if CONFIGS[kind].router is None:
        roles = tuple(role for role in options.roles if "router" not in role)
        options = dataclasses.replace(options, roles=roles)
    # The StableHLO target has tests of its own, and its check takes most of the time.
    check = "stablehlo" not in targets
    path = Path(_FOLDER.name, name)
    return build(checkpoint(kind), options, path, targets=targets, check_values=check)
