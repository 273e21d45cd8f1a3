"""`tandem-export plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import CHIPS, INTS, PAIR, Option
from tandem_export.cli.options import common, renamed_option
from tandem_export.cli.output import make_table, needs, print_json, print_next, print_tables
from tandem_export.tpu import run_without_chips

if TYPE_CHECKING:
    from tandem_export.tpu.plan import Plan, PlannedBucket


@click.command(
    epilog="""\b
Examples:
  tandem-export plan 2b
  tandem-export plan 8b --chip v5e-4 --cache 4096 --acceptance 0.859
  tandem-export plan CHECKPOINT --acceptance bench.json --quantize int8 --html report.html"""
)
@click.argument("pair", type=PAIR)
@renamed_option(
    "--chip",
    "--target",
    "chip",
    type=click.Choice(("v5e", *CHIPS)),
    default="v5e-1",
    help="TPU v5e, by its number of chips.",
)
@click.option("--cache", type=int, default=2048, help="Tokens of a row, prompt and answer.")
@click.option(
    "--acceptance",
    default="0.8",
    metavar="RATE|FILE",
    help="Chance that a draft is accepted, or a file of `bench --out`.",
)
@click.option("--quantize", type=click.Choice(["int8"]), help="Weights in 1 byte.  [default: no]")
@click.option("--batch", type=INTS, default=(), help="Batch buckets.  [default: chosen]")
@click.option("--gamma-max", type=int, default=16, help="Longest draft to consider, in tokens.")
@click.option(
    "--max-waste",
    type=float,
    default=0.1,
    help="Share of speed that padding to the next batch may cost.",
)
@click.option(
    "--drafter-cost",
    type=float,
    metavar="RATIO",
    help="A drafter step over a primary step, measured.  [default: the roofline's]",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="A report to read.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON goes here too.")
@common
def plan(
    pair: str,
    chip: str,
    acceptance: str,
    quantize: str | None,
    html: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Chooses batch and gamma buckets for a TPU v5e, without one and without weights.

    PAIR is a preset (270m, 2b, 8b), a TOML file of configs, or a checkpoint. Times are the
    roofline: what memory and arithmetic allow, not measured.
    """
    run_without_chips()
    with needs("stablehlo"):
        from tandem_export.tpu import plan as library

        wanted = library.PlanOptions(
            target=library.slice_named(chip),
            acceptance=library.read_acceptance(acceptance),
            storage="int8" if quantize else "bfloat16",
            **options,
        )
        chosen = library.plan(pair, library.read_pair(pair), wanted)
    if out is not None:
        out.write_text(json.dumps(chosen.to_dict(), indent=1) + "\n", encoding="utf-8")
    if html is not None:
        with needs("plan"):
            from tandem_export.tpu.plan.html import page

            html.write_text(page(chosen), encoding="utf-8")
    if as_json:
        print_json(chosen.to_dict())
        return
    _print(chosen)
    click.echo(library.conclusion(chosen))
    print_next(library.build_command(chosen).removeprefix("tandem-export "))


def _print(chosen: Plan) -> None:
    target, costs = chosen.options.target, chosen.costs
    columns = (
        ">batch",
        ">gamma",
        "widths",
        ">tokens a round",
        ">round ms",
        ">tokens/s",
        ">speed-up",
        "bound by",
        ">memory GiB",
        ">padding loses",
        ">at worst",
    )
    title = (
        f"{chosen.pair} on {target.name}: {chosen.options.storage}, cache {chosen.options.cache}, "
        f"acceptance {chosen.options.acceptance.source}, roofline estimates"
    )
    print_tables(make_table(title, columns, [_row(bucket) for bucket in chosen.buckets]))
    click.echo(
        f"weights {costs.stored_bytes / 2**30:.2f} of {target.hbm_bytes / 2**30:.2f} GiB a chip; "
        f"a row's caches {costs.cache_bytes / 2**20:.0f} MiB; "
        f"batch * (gamma + 1) <= {target.balance(chosen.options.storage)}"
    )


def _row(bucket: PlannedBucket) -> list[str]:
    best = bucket.best
    return [
        str(bucket.batch),
        str(best.gamma),
        "/".join(map(str, bucket.widths)),
        f"{best.tokens:.2f}",
        f"{best.seconds * 1e3:.2f}",
        f"{best.tokens_per_second:.0f}",
        f"{best.speed_up:.2f}",
        best.bound,
        f"{bucket.memory.total / 2**30:.2f}",
        f"{bucket.waste:.0%}",
        f"{bucket.worst_waste:.0%}",
    ]
