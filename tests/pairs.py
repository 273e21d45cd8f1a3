"""Tiny pairs of one layer each, as checkpoints: what bundles of the tests are built of."""

from __future__ import annotations

import dataclasses

import numpy as np
from tokenizers import Tokenizer, models

from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.config import TandemConfig
from tandem_export.contract.roles import ROLES, Role
from tandem_export.model import PARTS, has_part
from tests.tiny import LLAMA, TANDEM, random_params

# One layer each: what is tested is around the graphs, and compiling takes the time.
PRIMARY = dataclasses.replace(LLAMA, num_layers=1)
DRAFTER = dataclasses.replace(TANDEM.drafter, num_layers=1)
CONFIGS = {
    "tandem": dataclasses.replace(TANDEM, primary=PRIMARY, drafter=DRAFTER, layer_map=(1,)),
    "independent": TandemConfig(primary=PRIMARY, drafter=DRAFTER, kind="independent"),
    # The drafter is the primary: every draft has to be accepted.
    "twin": TandemConfig(primary=PRIMARY, drafter=PRIMARY, kind="independent"),
}
# All but `generate`.
LOOP_ROLES: tuple[Role, ...] = tuple(role for role in ROLES if role != "generate")


def without_router(roles: tuple[Role, ...] = LOOP_ROLES) -> tuple[Role, ...]:
    return tuple(role for role in roles if "router" not in role)


def checkpoint(kind: str, *, sharpness: float = 3) -> Checkpoint:
    """Random; output heads are scaled by `sharpness`, so that greedy choices are no near-ties."""
    config = CONFIGS[kind]
    parts = {part: _params(config, part, sharpness) for part in PARTS if has_part(config, part)}
    if kind == "twin":
        parts["drafter"] = parts["primary"]
    size = config.primary.vocab_size
    words = {chr(97 + i): i for i in range(size)}
    return Checkpoint(
        config=config,
        vocabulary=Vocabulary(size=size, end_tokens=(0,)),
        tokenizer_json=Tokenizer(models.WordLevel(words, unk_token="a")).to_str(),
        params=parts,
        provenance={},
        source={},
    )


def _params(config: TandemConfig, part: str, sharpness: float) -> dict[str, np.ndarray]:
    random = random_params(config, part, seed=len(part))
    sharp = ("head.weight",) if part != "router" else ()
    return {n: np.asarray(t * sharpness if n in sharp else t) for n, t in random.items()}
