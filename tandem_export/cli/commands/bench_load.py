"""`tandem-export bench-load`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import EXECUTOR, Option
from tandem_export.cli.options import common, expired, prompts_file, threads, verified
from tandem_export.cli.output import make_table, print_json, print_tables, progress, read_prompts
from tandem_export.cli.places import BUNDLE
from tandem_export.jsontypes import JsonObject

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable


@click.command(
    epilog="""\b
Examples:
  tandem-export bench-load build/demo --out bench-load.json
  tandem-export bench-load DIR --executor openvino --threads 1 --requests 16 --json"""
)
@BUNDLE
@click.option("--executor", type=EXECUTOR, help="[default: one that the bundle has graphs for]")
@click.option("--requests", type=click.IntRange(2), default=64, help="At once.")
@click.option("--longest", type=click.IntRange(4), default=64, help="Tokens of an answer.")
@click.option("--repetitions", type=int, default=3, help="Turns of each.")
@threads
@expired
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON goes here too.")
@prompts_file
@verified
@common
def bench_load(
    bundle: Path,
    executor: str | None,
    out: Path | None,
    prompts_file: Path | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Measures one engine under many requests at once: throughput, waiting times, scheduling.

    Every batch bucket takes turns with requests that come one by one; the last line is an engine
    that has all buckets and uses the one that its load asks for.
    """
    from tandem_export.measure import bench_load as measure

    with progress(quiet=as_json) as report:
        given = read_prompts(prompts_file)
        found = measure(bundle, executor, prompts=given, progress=report, **options).to_dict()
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print_json(found) if as_json else print_tables(*_tables(found))


def _tables(found: JsonObject) -> list[FittedTable]:
    lines = [
        [
            line["name"],
            f"{line['tokens_per_second']:.0f}",
            f"{line['against_one_by_one']:.2f}",
            *(f"{1000 * line[name]:.1f}" for name in ("first_p50", "first_p95")),
            *(f"{1000 * line[name]:.2f}" for name in ("token_p50", "token_p95")),
            f"{line['host_share']:.1%}",
        ]
        for line in found["lines"]
    ]
    first, token = (">first token ms p50", ">p95"), (">ms a token p50", ">p95")
    columns = ("slots", ">tok/s", ">ratio", *first, *token, ">host")
    moves = [
        [f"{m['before']} to {m['after']}", f"{1000 * m['seconds']:.2f}", f"{m['rounds']:.2f}"]
        for m in found["moves"]
    ]
    title = f"{found['requests']} requests at once, {found['executor']}"
    return [
        make_table(title, columns, lines),
        make_table("A move of all rows", ("slots", ">ms", ">rounds"), moves),
    ]
