"""Trains a tandem drafter for an imported primary; README.md beside this file.

    python -m recipes.imported.train PRIMARY --out build/gemma-tandem

PRIMARY is a checkpoint that `tandem-export import` made, whatever its drafter. Seeded and
resumable.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from recipes.imported import drafter as drafters
from recipes.imported.features import Features, compute
from recipes.imported.stages import evaluate, train
from recipes.imported.text import kept_tokens, load_windows
from tandem_export.checkpoint import Checkpoint, Vocabulary, read_checkpoint, write_checkpoint
from tandem_export.config import TandemConfig
from tandem_export.model import Params


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
    started, source = time.time(), read_checkpoint(primary)
    texts = load_windows(source, out / "tokens.npz", windows)
    kept = kept_tokens(texts, tokens, source.config.primary.vocab_size)
    config = drafters.pair(source.config.primary, len(kept), layers, width)
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        caches = _features(config, source, texts, kept, out, progress)
        small = drafters.as_trained(config)
        table = np.asarray(source.params["primary"]["embedding.weight"][kept], np.float32)
        made, router = train(
            small, drafters.start(small, table), caches["train"], steps, out, progress
        )
    measures = {
        "held_out": evaluate(small, made, caches["held_out"]),
        "known_share": float(np.isin(texts.held_out[:, 1:], kept).mean()),
        "seconds": round(time.time() - started),
    }
    (out / "measures.json").write_text(json.dumps(measures, indent=1))
    _publish(source, config, made, router, kept, measures, out / "pair")
    click.echo(json.dumps(measures, indent=1))


def _features(
    config: TandemConfig,
    source: Checkpoint,
    texts,
    kept: np.ndarray,
    out: Path,
    progress: Progress,
) -> dict[str, Features]:
    params = {
        name: jnp.asarray(value, jnp.float32) for name, value in source.params["primary"].items()
    }
    caches = {}
    for name, windows in (("train", texts.train), ("held_out", texts.held_out)):
        bar = progress.add_task(f"features: {name}", total=len(windows))

        def report(done: int, total: int, bar=bar) -> None:
            progress.update(bar, completed=done, total=total)

        paths = compute(config, params, windows, kept, out / "features" / name, report)
        caches[name] = Features(paths, config.layer_map)
    return caches


def _publish(
    source: Checkpoint,
    config: TandemConfig,
    made: Params,
    router: Params,
    kept: np.ndarray,
    measures: dict,
    path: Path,
) -> None:
    vocabulary: Vocabulary = source.vocabulary
    write_checkpoint(
        path,
        config=config,
        vocabulary=vocabulary,
        tokenizer_json=source.tokenizer_json,
        chat_template=source.chat_template,
        params={
            "primary": source.params["primary"],
            "drafter": drafters.with_rows(made, kept, config.primary.vocab_size),
            "router": {name: np.asarray(value) for name, value in router.items()},
        },
        provenance=source.provenance | {"recipe": "recipes/imported", "measures": measures},
        overwrite=True,
    )


if __name__ == "__main__":
    main()
