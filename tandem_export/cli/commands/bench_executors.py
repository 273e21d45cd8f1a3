"""`tandem-export bench-executors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import Option, words
from tandem_export.cli.options import common, expired, prompts_file, threads, verified
from tandem_export.cli.output import make_table, print_json, print_tables, progress, read_prompts
from tandem_export.cli.places import BUNDLE
from tandem_export.jsontypes import JsonObject

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable


@click.command(
    epilog="""\b
Examples:
  tandem-export bench-executors build/demo --out bench-executors.json
  tandem-export bench-executors DIR --executors onnxruntime,openvino --threads 1 --json"""
)
@BUNDLE
@click.option(
    "--executors",
    type=words("onnxruntime,openvino"),
    help="[default: those that the bundle has graphs for]",
)
@click.option("--prompts", "count", type=int, default=4, help="How many.")
@click.option("--max-new-tokens", type=int, default=48, help="Of each answer.")
@click.option("--repetitions", type=int, default=5, help="Turns of each.")
@threads
@expired
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON goes here too.")
@prompts_file
@verified
@common
def bench_executors(
    bundle: Path,
    executors: tuple[str, ...] | None,
    verify_key: str | None,
    out: Path | None,
    prompts_file: Path | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Measures one bundle under several executors: the loop, its steps, memory, load time.

    They take turns in one run; the table shows medians. Memory is that of a new process.
    """
    from tandem_export.measure import bench_executors as measure
    from tandem_export.runtime.executors import usable_executors

    with progress(quiet=as_json) as report:
        given = read_prompts(prompts_file)
        table = measure(
            bundle,
            executors or usable_executors(bundle, verify_key),
            prompts=given,
            progress=report,
            verify_key=verify_key,
            **options,
        ).to_dict()
    if out is not None:
        out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print_json(table) if as_json else print_tables(*_tables(table))


def _tables(report: JsonObject) -> list[FittedTable]:
    lines = [
        [str(v) if isinstance(v, str | int) else f"{v:.1f}" for v in line.values()]
        for line in report["lines"]
    ]
    columns = ("load_seconds", "resident", "proportional", "anonymous", "weights")
    costs = [
        [cost["executor"], *(f"{cost[name]:.1f}" for name in columns)] for cost in report["costs"]
    ]
    rates = (">SPEED tok/s", ">primary tok/s", ">SPEED tok/CPU s", ">primary tok/CPU s")
    steps = (*rates, ">block CPU ms", ">width 1 CPU ms", ">drafter CPU ms")
    memory = (">load s", ">RSS MiB", ">PSS MiB", ">anonymous MiB", ">weights MiB")
    return [
        make_table("Executors", ("executor", ">batch", *steps), lines),
        make_table("A new process", ("executor", *memory), costs),
    ]
