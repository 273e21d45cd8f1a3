"""Chooses the drafter's shape: short runs, measured step times, predicted speed.

    python -m recipes.stdlib_mini.pilot --out build/train

For each shape it trains the tandem drafter for a few steps of the distillation loss, measures
held-out agreement, times the real graphs in one alternating run, and prints the predicted speed
over the primary alone at its best gamma: (1 - a^(g+1)) / (1 - a) / (v(g + 1) + g c), c the
drafter's step and v(W) the block of width W, both in primary steps of width 1 (acceptance a as
independent by position).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import Progress

from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.drafters import projections, start_params
from recipes.stdlib_mini.evaluate import compare
from recipes.stdlib_mini.loop import Stage, optimise
from recipes.stdlib_mini.shapes import drafter, independent, pair
from recipes.stdlib_mini.stages import drafter_loss
from recipes.stdlib_mini.train import train_primary
from tandem_export.config import TandemConfig
from tandem_export.graphs import BuildOptions, Graph, plan_graphs
from tandem_export.model import initialise

SHAPES = {
    "1x256 l6": pair(drafter(1, 256), (6,)),
    "1x256 l4": pair(drafter(1, 256), (4,)),
    "1x128 l6": pair(drafter(1, 128), (6,)),
    "2x128 l4,6": pair(drafter(2, 128), (4, 6)),
}
GAMMAS = (1, 2, 3, 4, 5)


def step_times(batch: int) -> dict[str, float]:
    """Median milliseconds of each shape's drafter step and of primary blocks, by name."""
    calls = {}
    for shape, config in SHAPES.items():
        roles = ("drafter_step", "primary_block") if not calls else ("drafter_step",)
        options = BuildOptions(batch=(batch,), gamma=GAMMAS, prompt=(64,), cache=256, roles=roles)
        for graph in plan_graphs(config, options):
            name = shape if graph.role == "drafter_step" else f"width {graph.width}"
            calls[name] = _prepared(config, graph)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(60):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: 1e3 * float(np.median(values[10:])) for name, values in times.items()}


def _prepared(config: TandemConfig, graph: Graph) -> Callable[[], None]:
    parts = {
        f"{part}.{name}": value
        for part in ("primary", "drafter")
        for name, value in initialise(config, part, 0).items()
    }
    params = {name: parts[name] for name in graph.params}
    state = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in graph.state.items()}
    tokens = jnp.zeros((graph.batch, graph.width or 1), jnp.int32)
    inputs = {"tokens": tokens, "start": jnp.full((graph.batch,), 100, jnp.int32)}
    compiled = jax.jit(graph.function, donate_argnums=(1,))

    def run() -> None:
        nonlocal state
        out, state = compiled(params, state, inputs)
        out["logits"].block_until_ready()

    return run


def predicted(acceptance: float, times: dict[str, float], shape: str) -> tuple[float, int]:
    """Best speed over the primary alone, and its gamma."""
    base = times["width 1"]

    def speed(gamma: int) -> float:
        tokens = (1 - acceptance ** (gamma + 1)) / (1 - acceptance)
        return tokens * base / (times[f"width {gamma + 1}"] + gamma * times[shape])

    return max((speed(gamma), gamma) for gamma in GAMMAS)


def break_even(speed: float, times: dict[str, float], shape: str) -> float:
    """The acceptance at which `shape` would reach `speed` over the primary alone; 1.0 if never."""
    grid = np.linspace(0.01, 0.99, 99)
    reached = [a for a in grid if predicted(a, times, shape)[0] >= speed]
    return float(min(reached, default=1.0))


def quality(shape: str, primary, corpus, folder: Path, steps: int) -> tuple[float, float]:
    """(relative accuracy, relative TV) at block length 4 after a short run."""
    config = SHAPES[shape]
    start = start_params(independent(config), primary, seed=11)
    params = start | projections(config, primary, start, corpus)
    stage = Stage(shape.replace(" ", "_"), steps, learning_rate=2e-3, seed=5, long_share=0.0)
    loss = drafter_loss(config, primary, distil=True)
    with Progress(disable=True) as progress:
        params = optimise(stage, corpus, params, loss, folder, progress)
    seen = compare(config, primary, params, corpus, gamma=4, count=4)
    return seen["relative_accuracy"], seen["relative_tv"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/train"))
@click.option("--steps", default=80, show_default=True)
def main(out: Path, steps: int) -> None:
    """Writes OUT/pilot.json and prints a line per shape."""
    corpus = corpora.load(out / "corpus")
    with Progress(disable=True) as progress:
        primary = train_primary(corpus, out, progress)
    times = {batch: step_times(batch) for batch in (1, 4)}
    click.echo(json.dumps(times))
    rows = []
    folder = out / "pilot"
    folder.mkdir(exist_ok=True)
    for shape in SHAPES:
        seen = quality(shape, primary, corpus, folder, steps)
        row: dict[str, Any] = {"shape": shape, "tandem": seen}
        for batch, own in times.items():
            row[f"c_b{batch}"] = own[shape] / own["width 1"]
            row[f"greedy_b{batch}"] = predicted(seen[0], own, shape)
            row[f"sampled_b{batch}"] = predicted(1 - seen[1], own, shape)
        rows.append(row)
        click.echo(json.dumps(row))
    (out / "pilot.json").write_text(json.dumps({"times": times, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
