"""Tiny bundles with a SavedModel, built once a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models

from tandem_export.bundle import Bundle
from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.graphs import BuildOptions
from tandem_export.model import PARTS, Params, has_part
from tandem_export.serving import LocalModel
from tandem_export.targets import SavedModelOptions, build
from tests.runtime.executors.bundles import CONFIGS
from tests.tiny import random_params

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
    config = CONFIGS["tandem"]
    params = {part: _params(part) for part in PARTS if has_part(config, part)}
    checkpoint = Checkpoint(
        config=config,
        vocabulary=Vocabulary(size=VOCAB, end_tokens=(0,)),
        tokenizer_json=_tokenizer().to_str(),
        params={p: {n: np.asarray(t) for n, t in own.items()} for p, own in params.items()},
        provenance={},
        source={},
    )
    return build(
        checkpoint,
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


def _params(part: str) -> Params:
    """Random; output heads are scaled up, so that greedy choices are no near-ties."""
    own = random_params(CONFIGS["tandem"], part, seed=len(part))
    sharp = ("head.weight",) if part != "router" else ()
    return {name: value * 3 if name in sharp else value for name, value in own.items()}


def _tokenizer() -> Tokenizer:
    return Tokenizer(models.WordLevel({chr(97 + i): i for i in range(VOCAB)}, unk_token="a"))
