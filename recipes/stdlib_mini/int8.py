"""What int8 weights cost a checkpoint of this recipe: held-out measures before and after.

    python -m recipes.stdlib_mini.int8 demo:stdlib-mini

Prints one JSON object: for the weights as stored and for int8, the primary's cross entropy (nats
per token) and the drafter's cross entropy, relative TV, relative accuracy (the chance that a greedy
draft is accepted) and 1 - TV (that of a sampled one).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import jax.numpy as jnp
import numpy as np

from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.evaluate import compare, primary_measures
from tandem_export.checkpoint import Checkpoint, read_checkpoint
from tandem_export.model import Params, quantize


def before_and_after(
    checkpoint: Checkpoint, corpus: corpora.Corpus, *, count: int, gamma: int
) -> dict[str, dict[str, Any]]:
    """Measures of `primary` and `drafter`: `stored` weights, and `int8`.

    Args:
      checkpoint: the pair.
      corpus: whose held-out files are read.
      count: batches of 4,096 tokens.
      gamma: tokens drafted in a block.
    """

    def measures(params: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        primary, drafter = (_widened(params[part]) for part in ("primary", "drafter"))
        own = primary_measures(checkpoint.config, primary, corpus, count)
        found = compare(checkpoint.config, primary, drafter, corpus, gamma=gamma, count=count)
        return {"primary": own, "drafter": found | {"acceptance": 1 - found["relative_tv"]}}

    int8 = {part: quantize(checkpoint.params[part]) for part in ("primary", "drafter")}
    return {"stored": measures(checkpoint.params), "int8": measures(int8)}


@click.command()
@click.argument("checkpoint", default="demo:stdlib-mini")
@click.option("--out", default="build/train", show_default=True, help="Where the corpus is kept.")
@click.option("--count", default=24, show_default=True, help="Batches of 4,096 held-out tokens.")
@click.option("--gamma", default=4, show_default=True, help="Tokens drafted in a block.")
def main(checkpoint: str, out: str, count: int, gamma: int) -> None:
    """Measures CHECKPOINT as it is stored and with int8 weights."""
    made, corpus = read_checkpoint(checkpoint), corpora.load(Path(out) / "corpus")
    click.echo(json.dumps(before_and_after(made, corpus, count=count, gamma=gamma), indent=1))


def _widened(params: Mapping[str, np.ndarray]) -> Params:
    """Floating tensors in float32, int8 ones as they are."""
    floats = {name: tensor.dtype.kind not in "iub" for name, tensor in params.items()}
    return {
        name: jnp.asarray(np.asarray(tensor, np.float32) if floats[name] else tensor)
        for name, tensor in params.items()
    }


if __name__ == "__main__":
    main()
