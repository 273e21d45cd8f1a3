"""Trains everything: primary, the drafter's start, Distil, Tandem-CE, Tandem-Distil, router.

    python -m recipes.stdlib_mini.train --out build/train

Seeded and resumable: run it again after an interruption and it goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.loop import Stage, optimise
from recipes.stdlib_mini.losses import cross_entropy, primary_pass
from recipes.stdlib_mini.shapes import PRIMARY
from tandem_export.config import TandemConfig
from tandem_export.model import Params, initialise

PRIMARY_STAGE = Stage("primary", steps=5400, learning_rate=2e-3)


def train_primary(corpus: corpora.Corpus, folder: Path, progress: Progress) -> Params:
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

    return optimise(PRIMARY_STAGE, corpus, start, loss, folder, progress)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/train"))
def main(out: Path) -> None:
    """Trains the demo pair into OUT."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields}"))
    corpus = corpora.load(out / "corpus")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        train_primary(corpus, out, progress)


if __name__ == "__main__":
    main()
