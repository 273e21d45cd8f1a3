"""Writes the model card of the demo checkpoints from what was measured.

    python -m recipes.stdlib_mini.card --out build/train

Reads the measures that training left in OUT, builds small bundles of both checkpoints, runs the
real SPEED loop over the held-out prompts, and writes OUT/stdlib_mini.md. With --install it then
puts checkpoints, card and prompts into the package.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click

import tandem_export
from recipes.stdlib_mini import corpus as corpora
from recipes.stdlib_mini.int8 import before_and_after
from tandem_export.checkpoint import read_checkpoint
from tandem_export.data import demo_path
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build

OPTIONS = BuildOptions(
    batch=(4,),
    gamma=(3, 5),
    prompt=(64,),
    cache=256,
    roles=("prefill", "insert", "round"),
    platforms=("cpu",),
)
NEW_TOKENS = 96
INT8_BATCHES = 8
SAMPLINGS = {"greedy": 0.0, "temperature 1": 1.0}


def loop_measures(out: Path) -> list[dict[str, Any]]:
    """Acceptance in the real loop, per drafter, gamma and way of sampling."""
    prompts = json.loads((out / "prompts.json").read_text())
    rows = []
    for name, file in (("Distil", "independent.json"), ("Tandem-Distil", "tandem.json")):
        checkpoint = read_checkpoint(out / "stdlib_mini" / file)
        build(checkpoint, OPTIONS, out / "card-bundle", overwrite=True)
        engine = tandem_export.load(out / "card-bundle", batch=4, modes=())
        for gamma in OPTIONS.gamma:
            for sampling, temperature in SAMPLINGS.items():
                engine.reset_stats()
                params = tandem_export.SamplingParams(
                    max_new_tokens=NEW_TOKENS, temperature=temperature, gamma=gamma
                )
                results = engine.generate(prompts, params)
                rounds = sum(result.stats.rounds for result in results)
                rows.append(
                    {
                        "drafter": name,
                        "gamma": gamma,
                        "sampling": sampling,
                        "accepted_a_round": engine.stats.accepted / rounds,
                        "acceptance_at": engine.stats.acceptance_at,
                    }
                )
    return rows


def _row(cells: list[Any]) -> str:
    return "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |"


def _table(header: list[str], rows: list[list[Any]]) -> str:
    return "\n".join([_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows)])


def _paper_table(measures: dict[str, Any]) -> str:
    names = ["accuracy", "ce", "relative_accuracy", "relative_tv"]
    primary = measures["primary"]
    rows = [["primary", "", primary["accuracy"], primary["ce"], "", ""]]
    for row in measures["table"]:
        rows.append([row["drafter"], row["block"] or "any", *(row[name] for name in names)])
    header = ["model", "block length", "accuracy", "CE (nats)", "relative accuracy", "relative TV"]
    return _table(header, rows)


def _loop_table(rows: list[dict[str, Any]]) -> str:
    header = ["drafter", "gamma", "sampling", "accepted a round", "acceptance by position"]
    body = [
        [
            row["drafter"],
            row["gamma"],
            row["sampling"],
            row["accepted_a_round"],
            " ".join(f"{a:.2f}" for a in row["acceptance_at"]),
        ]
        for row in rows
    ]
    return _table(header, body)


def _shape_table(pilot: dict[str, Any]) -> str:
    header = ["shape", "relative accuracy", "relative TV", "batch 1", "batch 4"]
    body = []
    for row in pilot["rows"]:
        speeds = [
            f"{speed:.2f} (gamma {gamma})" for speed, gamma in (row["batch 1"], row["batch 4"])
        ]
        body.append([row["shape"], row["relative_accuracy"], row["relative_tv"], *speeds])
    return _table(header, body)


def _losses(out: Path) -> str:
    rows = []
    for stage in ("primary", "start", "distil", "tandem_ce", "tandem_distil", "router"):
        log = [json.loads(line) for line in (out / f"{stage}.jsonl").read_text().splitlines()]
        rows.append([stage, log[-1]["step"], log[0]["loss"], log[-1]["loss"]])
    return _table(["stage", "steps", "loss of the first 50", "loss of the last 50"], rows)


def _int8_table(out: Path) -> str:
    checkpoint = read_checkpoint(out / "stdlib_mini" / "tandem.json")
    found = before_and_after(checkpoint, corpora.load(out / "corpus"), count=INT8_BATCHES, gamma=4)
    header = ["weights", "primary CE", "drafter CE", "relative TV", "1 - TV", "relative accuracy"]
    names = ["ce", "relative_tv", "acceptance", "relative_accuracy"]
    rows = [
        [kind, own["primary"]["ce"], *(own["drafter"][name] for name in names)]
        for kind, own in found.items()
    ]
    return _table(header, [[f"{c:.4f}" if isinstance(c, float) else c for c in r] for r in rows])


def card(out: Path, loop: list[dict[str, Any]]) -> str:
    """The card's text."""
    measures = json.loads((out / "measures.json").read_text())
    pilot = json.loads((out / "pilot.json").read_text())
    router = measures["router"]
    bins = [[f"{b['from']:.1f}", b["tokens"], b["predicted"], b["real"]] for b in router["bins"]]
    return (
        Path(__file__)
        .with_name("card.md")
        .read_text()
        .format(
            paper=_paper_table(measures),
            loop=_loop_table(loop),
            pilot=_shape_table(pilot),
            pilot_steps=pilot["steps"],
            losses=_losses(out),
            int8=_int8_table(out),
            int8_tokens=f"{4096 * INT8_BATCHES:,}",
            bins=_table(["prediction from", "tokens", "mean prediction", "mean 1 - TV"], bins),
            error=router["error"],
            correlation=router["correlation"],
        )
    )


def install(out: Path) -> None:
    """Copies what training made into the package's data."""
    data = demo_path("stdlib-mini").parent
    data.mkdir(exist_ok=True)
    for file in (out / "stdlib_mini").iterdir():
        shutil.copy(file, data)
    shutil.copy(out / "stdlib_mini.md", data / "MODEL_CARD.md")
    shutil.copy(out / "prompts.json", data.parent)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/train"))
@click.option("--install", "put", is_flag=True, help="Put the result into the package.")
def main(out: Path, put: bool) -> None:
    """Measures the loop and writes OUT/stdlib_mini.md."""
    loop = loop_measures(out)
    (out / "loop.json").write_text(json.dumps(loop, indent=1))
    (out / "stdlib_mini.md").write_text(card(out, loop))
    if put:
        install(out)


if __name__ == "__main__":
    main()
