"""Trains a tandem drafter for an imported primary; README.md beside this file.

    python -m recipes.imported.train PRIMARY --out build/gemma-tandem

PRIMARY is a checkpoint that `tandem-export import` made, whatever its drafter. Seeded and
resumable.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from recipes.imported.run import Plan, train_pair
from recipes.imported.text import from_standard_library
from tandem_export.checkpoint import read_checkpoint


@click.command()
@click.argument("primary")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--windows", type=int, default=1200, show_default=True, help="Of 256 tokens.")
@click.option("--tokens", type=int, default=8192, show_default=True, help="That the drafter keeps.")
@click.option("--layers", type=int, default=3, show_default=True)
@click.option("--width", type=int, default=320, show_default=True)
@click.option("--steps", type=int, default=3000, show_default=True, help="Of all stages together.")
def main(
    primary: str, out: Path, windows: int, tokens: int, layers: int, width: int, steps: int
) -> None:
    """Trains a drafter and router for PRIMARY; the pair comes to OUT/pair."""
    source = read_checkpoint(primary)
    texts = from_standard_library(source, out / "tokens.npz", windows)
    plan = Plan(
        recipe="recipes/imported",
        tokens=tokens,
        layers=layers,
        width=width,
        ff=3 * width,
        steps=steps,
        loss="distil",
        start="random",
        baseline=False,
    )
    click.echo(json.dumps(train_pair(source, texts, plan, out), indent=1))


if __name__ == "__main__":
    main()
