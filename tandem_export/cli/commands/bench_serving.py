"""`tandem-export bench-serving`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import Option
from tandem_export.cli.options import common, expired, prompts_file, verified
from tandem_export.cli.output import make_table, needs, print_json, print_tables, read_prompts, size
from tandem_export.cli.places import BUNDLE
from tandem_export.jsontypes import JsonObject

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable


@click.command(
    epilog="""\b
Examples:
  tandem-export bench-serving build/demo
  tandem-export bench-serving build/demo --repetitions 15 --no-startup --json"""
)
@BUNDLE
@click.option("--repetitions", type=int, default=7, help="Turns of each.")
@click.option("--startup/--no-startup", default=True, help="First call and first token.")
@expired
@prompts_file
@verified
@common
def bench_serving(
    bundle: Path, prompts_file: Path | None, as_json: bool, **options: Option
) -> None:
    """Measures the SavedModel of the bundle in DIR: against JAX, over gRPC and REST, on disk.

    The server is a stand-in in this process, not tensorflow_model_server.
    """
    with needs("tensorflow"):
        from tandem_export.measure import bench_serving as measure

        prompts = read_prompts(prompts_file)
        report = measure(bundle, prompts, **options).to_dict()
    print_json(report) if as_json else print_tables(_table(report))


def _table(report: JsonObject) -> FittedTable:
    rows = [
        *((f"{report['graph']}, {n}", _ms(s)) for n, s in report["generate_seconds"].items()),
        ("TensorFlow over JAX", f"{report['generate_ratio']:.2f}"),
        *((f"a round, wire: {n}", _ms(s)) for n, s in report["round_seconds"].items()),
        ("load", _ms(report["load_seconds"])),
        *((f"{n} on disk", size(b)) for n, b in report["bytes"].items()),
        *(
            (f"first call, cache {n}", f"{s:.2f} s")
            for n, s in (report["first_call_seconds"] or {}).items()
        ),
        *((f"start, {n}", f"{s:.1f} s") for n, s in (report["startup"] or {}).items()),
    ]
    return make_table("Serving", ("", ">median"), [list(row) for row in rows])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
