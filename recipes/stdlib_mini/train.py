"""Trains everything and writes the demo checkpoints.

    python -m recipes.stdlib_mini.train --out build/train

Primary, the drafter's start, Distil, Tandem-CE, Tandem-Distil, router; then `stdlib_mini/` with
`tandem.json` (Tandem-Distil and router) and `independent.json` (Distil, same primary), held-out
prompts and the measures of the paper's table. Seeded and resumable: run it again after an
interruption and it goes on where it stopped.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import click
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.evaluate import compare, primary_measures, router_calibration
from recipes.stdlib_mini.loop import Stage, optimise
from recipes.stdlib_mini.losses import cross_entropy, primary_pass
from recipes.stdlib_mini.shapes import PAIR, PRIMARY, independent
from recipes.stdlib_mini.stages import Trained, train_drafters
from tandem_export.checkpoint import Vocabulary, write_checkpoint
from tandem_export.cli.output import progress
from tandem_export.config import TandemConfig
from tandem_export.model import Params, initialise
from tandem_export.progress import Progress

PRIMARY_STAGE = Stage("primary", steps=4600, learning_rate=2e-3)
BLOCK_LENGTHS = (1, 2, 4, 8)
PROMPTS, PROMPT_TOKENS = 96, 40


def train_primary(corpus: corpora.Corpus, folder: Path, report: Progress) -> Params:
    """The primary, from random weights; residual outputs start small (depth-scaled)."""
    config = TandemConfig(primary=PRIMARY, drafter=PRIMARY, kind="independent")
    start = initialise(config, "primary", seed=0)
    for name in start:
        if name.endswith(("attention.o.weight", "ff.down.weight")):
            start[name] = start[name] * (2 * PRIMARY.num_layers) ** -0.5

    def loss(params, tokens, gamma):
        del gamma
        logits, _ = primary_pass(config, params, tokens[:, :-1])
        return cross_entropy(logits, tokens[:, 1:].reshape(-1))

    return optimise(PRIMARY_STAGE, corpus, start, loss, folder, report)


def stored(params: Params) -> Params:
    """As the checkpoint stores them: bfloat16."""
    return {name: np.asarray(value).astype(ml_dtypes.bfloat16) for name, value in params.items()}


def as_used(params: Params) -> Params:
    """Rounded to bfloat16, held as float32: what a float32 bundle computes with."""
    return {name: jnp.asarray(value.astype(np.float32)) for name, value in stored(params).items()}


def measure(primary: Params, trained: Trained, corpus: corpora.Corpus) -> dict[str, object]:
    """The paper's table at several block lengths, and the router's calibration; held-out files."""
    alone = independent(PAIR)
    big = as_used(primary)
    drafters = {
        "CE drafter": (alone, trained.start),
        "Distil": (alone, trained.distil),
        "Tandem-CE": (PAIR, trained.tandem_ce),
        "Tandem-Distil": (PAIR, trained.tandem_distil),
    }
    rows = []
    for name, (config, params) in drafters.items():
        for gamma in BLOCK_LENGTHS if config.is_tandem else (1,):
            seen = compare(config, big, as_used(params), corpus, gamma=gamma)
            rows.append({"drafter": name, "block": gamma if config.is_tandem else None} | seen)
    tandem, router = as_used(trained.tandem_distil), as_used(trained.router)
    return {
        "primary": primary_measures(PAIR, big, corpus),
        "table": rows,
        "router": router_calibration(PAIR, big, tandem, router, corpus),
    }


def prompts(corpus: corpora.Corpus) -> list[str]:
    """The first tokens of chunks spread over the held-out files, `PROMPTS` texts."""
    texts = [text for _, text in sorted(corpus.held_out_texts.items()) if len(text) > 4000]
    rng, made = np.random.default_rng(2024), []
    for i in range(PROMPTS):
        lines = texts[i % len(texts)].splitlines(keepends=True)
        at = int(rng.integers(0, len(lines) // 2))
        ids = corpus.tokenizer.encode("".join(lines[at : at + 60])).ids[: PROMPT_TOKENS - i % 16]
        made.append(corpus.tokenizer.decode(ids))
    return made


def publish(primary: Params, trained: Trained, corpus: corpora.Corpus, folder: Path) -> None:
    """Writes both checkpoints, the prompts and the measures into `folder`."""
    measures = measure(primary, trained, corpus)
    provenance = {
        "recipe": "recipes/stdlib_mini",
        "data": "the CPython standard library (PSF licence 2.0), recipes/stdlib_mini/files.txt",
        "licence": "Apache-2.0; trained on CPython's standard library (PSF licence 2.0)",
        "corpus_sha256": corpus.sha256,
        "python": platform.python_version(),
        "measures": measures,
    }
    common = {
        "vocabulary": Vocabulary(size=corpora.VOCAB_SIZE, end_tokens=(0,)),
        "tokenizer_json": corpus.tokenizer.to_str(),
        "provenance": provenance,
        "overwrite": True,
    }
    parts = {"primary": stored(primary), "drafter": stored(trained.tandem_distil)}
    parts["router"] = stored(trained.router)
    write_checkpoint(folder, config=PAIR, params=parts, **common)
    parts = {"primary": stored(primary), "drafter": stored(trained.distil)}
    alone = independent(PAIR)
    write_checkpoint(folder, config=alone, params=parts, name="independent.json", **common)
    beside = folder.parent
    (beside / "measures.json").write_text(json.dumps(measures, indent=1))
    (beside / "prompts.json").write_text(json.dumps(prompts(corpus), indent=0))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/train"))
def main(out: Path) -> None:
    """Trains the demo pair; the checkpoints come to OUT/stdlib_mini."""
    corpus = corpora.load(out / "corpus")
    with progress(quiet=False) as report:
        primary = train_primary(corpus, out, report)
        trained = train_drafters(PAIR, primary, corpus, out, report)
    publish(primary, trained, corpus, out / "stdlib_mini")


if __name__ == "__main__":
    main()
