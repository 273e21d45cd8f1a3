"""Lets a chat model write the dialogues that its drafter is trained on.

    python -m recipes.smollm2.data BUNDLE --out DIR/dialogues

BUNDLE has the graphs `prefill`, `insert` and `round` of the model. Seeded and resumable: a shard
that is there is not written again, and `--shards` may grow.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np

from recipes.smollm2.dialogues import Dialogue, Lengths, write_dialogues
from recipes.smollm2.shards import extend, read_index
from tandem_export import load


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Of the shards.")
@click.option("--shards", type=int, default=60, show_default=True, help="In all.")
@click.option("--size", type=int, default=256, show_default=True, help="Messages of a shard.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--executor", default="jax", show_default=True)
@click.option("--batch", type=int, default=None, help="One of the bundle's.")
@click.option("--message", type=int, default=96, show_default=True, help="Longest, tokens.")
@click.option("--answer", type=int, default=224, show_default=True, help="Longest, tokens.")
def main(
    bundle: Path,
    out: Path,
    shards: int,
    size: int,
    seed: int,
    executor: str,
    batch: int | None,
    message: int,
    answer: int,
) -> None:
    """Writes the shards that are missing, and a line for each."""
    engine = load(bundle, executor=executor, batch=batch, modes=("primary",))
    lengths = Lengths(message=message, answer=answer)

    def make(number: int) -> list[Dialogue]:
        began, used = time.time(), time.process_time()
        rng = np.random.default_rng((seed, number))
        dialogues = write_dialogues(engine, rng, size, lengths)
        facts = {
            "shard": number,
            "dialogues": len(dialogues),
            "answer_tokens": sum(len(dialogue.answer) for dialogue in dialogues),
            "seconds": round(time.time() - began, 1),
            "cpu_seconds": round(time.process_time() - used, 1),
        }
        click.echo(json.dumps(facts))
        return dialogues

    extend(out, shards, make)
    total = sum(facts["answer_tokens"] for facts in read_index(out).values())
    click.echo(json.dumps({"answer_tokens": total}))


if __name__ == "__main__":
    main()
