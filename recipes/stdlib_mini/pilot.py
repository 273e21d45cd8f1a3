"""Chooses the drafter's shape: short runs, measured rounds, predicted speed.

    python -m recipes.stdlib_mini.pilot --out build/train

For each shape it trains the tandem drafter for a while with the distillation loss, measures
held-out agreement, times the real fused rounds of all shapes in one alternating run, and predicts
the speed over the primary alone at the best gamma: a round of gamma g yields
(1 - a^(g+1)) / (1 - a) tokens (acceptance a as independent by position) in t(g) / t(0) times the
time of a round of the primary alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp

from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.drafters import projections, start_params
from recipes.stdlib_mini.evaluate import compare
from recipes.stdlib_mini.loop import Stage, optimise
from recipes.stdlib_mini.shapes import drafter, independent, pair
from recipes.stdlib_mini.stages import drafter_loss
from recipes.stdlib_mini.train import train_primary
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.measure.turns import median_clocks
from tandem_export.model import initialise
from tandem_export.progress import silent

SHAPES = {
    "ff 512, layer 12": pair(drafter(1, 192, 512), (12,)),
    "ff 512, layer 9": pair(drafter(1, 192, 512), (9,)),
    "ff 192, layer 12": pair(drafter(1, 192, 192), (12,)),
}
GAMMAS = (1, 2, 3, 5)
# Milliseconds of a round, by gamma; 0 is the primary alone.
Times = dict[int, float]


def round_times(batch: int) -> dict[str, Times]:
    """Median milliseconds of a fused round that drafts gamma tokens, by shape and gamma."""
    options = BuildOptions(batch=(batch,), gamma=GAMMAS, prompt=(64,), cache=256, roles=("round",))
    calls = {
        (shape, graph.gamma or 0): _prepared(config, graph)
        for shape, config in SHAPES.items()
        for graph in plan_graphs(config, options)
    }
    times = median_clocks(calls, 35, unmeasured=5)
    return {
        shape: {gamma: 1e3 * clock.wall for (own, gamma), clock in times.items() if own == shape}
        for shape in SHAPES
    }


def _prepared(config: TandemConfig, graph: Graph) -> Callable[[], None]:
    parts = {
        f"{part}.{name}": value
        for part in ("primary", "drafter")
        for name, value in initialise(config, part, 0).items()
    }
    params = {name: parts[name] for name in graph.params}
    state = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in graph.state.items()}
    state["budget"] = jnp.full((graph.batch,), 1 << 20, jnp.int32)
    inputs = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in graph.inputs.items()}
    inputs["max_draft"] = jnp.full((graph.batch,), graph.gamma or 0, jnp.int32)
    compiled = jax.jit(graph.function, donate_argnums=(1,))

    def run() -> None:
        nonlocal state
        out, state = compiled(params, state, inputs)
        out["count"].block_until_ready()

    return run


def predicted(acceptance: float, times: Times) -> tuple[float, int]:
    """Best speed over the primary alone, and its gamma."""

    def speed(gamma: int) -> float:
        tokens = (1 - acceptance ** (gamma + 1)) / (1 - acceptance)
        return tokens * times[0] / times[gamma]

    return max((speed(gamma), gamma) for gamma in GAMMAS)


def quality(shape: str, primary, corpus, folder: Path, steps: int) -> dict[str, float]:
    """Held-out measures at block length 4 after a short run."""
    config = SHAPES[shape]
    start = start_params(independent(config), primary, seed=11)
    params = start | projections(config, primary, start, corpus)
    name = "".join(c if c.isalnum() else "_" for c in shape)
    stage = Stage(name, steps, learning_rate=3e-3, seed=5, long_share=0.0)
    loss = drafter_loss(config, primary, distil=True)
    params = optimise(stage, corpus, params, loss, folder, silent)
    return compare(config, primary, params, corpus, gamma=4, count=4)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/train"))
@click.option("--steps", default=150, show_default=True)
def main(out: Path, steps: int) -> None:
    """Writes OUT/pilot.json and prints a line per shape."""
    corpus = corpora.load(out / "corpus")
    primary = train_primary(corpus, out, silent)
    times = {batch: round_times(batch) for batch in (1, 4)}
    rows = []
    folder = out / "pilot"
    folder.mkdir(exist_ok=True)
    for shape in SHAPES:
        seen = quality(shape, primary, corpus, folder, steps)
        row: dict[str, Any] = {"shape": shape} | seen
        for batch, own in times.items():
            row[f"batch {batch}"] = predicted(seen["relative_accuracy"], own[shape])
        rows.append(row)
        click.echo(json.dumps(row))
    (out / "pilot.json").write_text(json.dumps({"steps": steps, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
