"""Trains a tandem drafter on the dialogues that its primary wrote; README.md beside this file.

    python -m recipes.smollm2.train CHECKPOINT --dialogues DIR/dialogues --out DIR/train

Seeded and resumable, each stage by itself; more dialogues later extend what is there.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from recipes.imported.run import Plan, train_pair
from recipes.imported.stages import LOSSES
from recipes.imported.text import Text, Texts
from recipes.smollm2 import shards
from recipes.smollm2.dialogues import Dialogue
from tandem_export.checkpoint import read_checkpoint


def read_texts(folder: Path) -> Texts:
    """The dialogues of `recipes.smollm2.data`; what has to be guessed is the answers."""
    train, held_out = shards.read(folder)
    return Texts(train=[as_text(d) for d in train], held_out=[as_text(d) for d in held_out])


def as_text(dialogue: Dialogue) -> Text:
    """A dialogue's prompt and answer."""
    tokens = np.array([*dialogue.prompt, *dialogue.answer], np.int32)
    return Text(tokens=tokens, first=len(dialogue.prompt))


@click.command()
@click.argument("primary")
@click.option("--dialogues", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--tokens", type=int, default=8192, show_default=True, help="That the drafter keeps.")
@click.option("--layers", type=int, default=3, show_default=True)
@click.option("--width", type=int, default=320, show_default=True)
@click.option("--ff", type=int, default=1024, show_default=True, help="Feed-forward width.")
@click.option("--steps", type=int, default=6000, show_default=True, help="Of all stages together.")
@click.option("--loss", type=click.Choice(sorted(LOSSES)), default="tv", show_default=True)
@click.option(
    "--start", type=click.Choice(["copied", "random"]), default="copied", show_default=True
)
@click.option("--name", default="pair", show_default=True, help="Of the run, a folder in OUT.")
@click.option("--baseline/--no-baseline", default=True, show_default=True)
def main(primary: str, dialogues: Path, out: Path, name: str, **options) -> None:
    """Trains a drafter, its router and the independent baseline for PRIMARY."""
    texts = read_texts(dialogues)
    plan = Plan(recipe="recipes/smollm2", **options)
    measures = train_pair(read_checkpoint(primary), texts, plan, out, name=name)
    click.echo(json.dumps(measures, indent=1))


if __name__ == "__main__":
    main()
