"""`tandem-export bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import FAMILIES, FLOATS, INTS, Option, words
from tandem_export.cli.options import common, pick_executor, prompts_file, running, verified
from tandem_export.cli.output import (
    make_table,
    percentages,
    print_json,
    print_tables,
    progress,
    read_prompts,
)
from tandem_export.cli.places import BUNDLE, BundlePath

if TYPE_CHECKING:
    from tandem_export.measure import Best, Comparison, Line, PaperRow


@click.command(
    epilog="""\b
Examples:
  tandem-export bench build/demo
  tandem-export bench build/demo --baseline build/independent --out bench.json
  tandem-export bench DIR --batch 1 --gamma 3,5 --prompts 4 --repetitions 3 --no-startup"""
)
@BUNDLE
@click.option(
    "--baseline",
    type=BundlePath(),
    metavar="DIR2",
    help="A bundle of the same primary with another drafter.",
)
@click.option("--prompts", type=int, default=6, help="How many, once a row.")
@click.option("--max-new-tokens", type=int, default=64, help="Of each answer.")
@click.option("--repetitions", type=int, default=5, help="Turns of each candidate.")
@click.option("--temperature", type=float, default=0.0, help="0 is greedy.")
@click.option("--batch", type=INTS, default=(), help="Batch buckets.  [default: all]")
@click.option("--gamma", type=INTS, default=(), help="Gamma buckets.  [default: all]")
@click.option("--tau", type=FLOATS, default="0.3,0.5,0.7", help="Router thresholds, 0 to 1.")
@click.option(
    "--families", type=words("speed,router", FAMILIES), help="Candidates.  [default: all]"
)
@click.option(
    "--startup/--no-startup", default=True, help="Time from load to first token, in new processes."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON goes here too.")
@prompts_file
@running
@verified
@common
def bench(
    bundle: Path,
    baseline: Path | None,
    families: tuple[Option, ...] | None,
    executor: str | None,
    verify_key: str | None,
    out: Path | None,
    prompts_file: Path | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Measures SPEED against the primary alone.

    All candidates take turns in one run; the tables show medians, and ratios over the primary alone
    at its best width.
    """
    from tandem_export import measure as benchmark

    given: dict[str, Option] = options | ({} if families is None else {"families": families})
    given["executor"] = pick_executor(bundle, executor, verify_key)
    with progress(quiet=as_json) as report:
        comparison = benchmark.bench(
            bundle,
            benchmark.BenchOptions(**given),
            baseline=baseline,
            prompts=read_prompts(prompts_file),
            progress=report,
            verify_key=verify_key,
        )
    if out is not None:
        out.write_text(json.dumps(comparison.to_dict(), indent=1) + "\n", encoding="utf-8")
    print_json(comparison.to_dict()) if as_json else _print(comparison)


def _print(comparison: Comparison) -> None:
    columns = (
        "candidate",
        ">tokens/s",
        ">slowest .. fastest",
        ">speed-up",
        ">with prefill",
        ">accepted",
        "acceptance by position",
        ">host",
        ">call",
    )
    for table in comparison.tables:
        title = f"{comparison.bundle}, batch {table.batch}"
        print_tables(make_table(title, columns, [_row(line) for line in table.lines]))
    if comparison.paper:
        rows = [_paper_row(row) for row in comparison.paper]
        print_tables(make_table("Speed-up over the primary alone, the best of each", _PAPER, rows))
    if comparison.startup is not None:
        cold, warm = comparison.startup.cold_seconds, comparison.startup.warm_seconds
        click.echo(f"load to first token: {cold:.1f} s, with a warm cache {warm:.1f} s")


_PAPER = (
    ">samples",
    ">baseline SPEED",
    ">SPEED",
    ">gain",
    ">with router",
    ">gain by router",
    ">drafter runs",
    ">primary runs",
)


def _paper_row(row: PaperRow) -> list[str]:
    """Runs are those for one answer, at a fixed gamma and with the router."""
    runs = [
        [f"{getattr(best, name):.1f}" for best in (row.speed, row.router) if best is not None]
        for name in ("drafter_runs", "primary_runs")
    ]
    return [
        str(row.num_samples),
        _best(row.baseline),
        _best(row.speed),
        "-" if row.gain is None else f"{row.gain:.3f}",
        _best(row.router),
        "-" if row.router_gain is None else f"{row.router_gain:.3f}",
        *(" -> ".join(pair) for pair in runs),
    ]


def _best(best: Best | None) -> str:
    if best is None:
        return "-"
    tau = "" if best.tau is None else f", tau {best.tau:g}"
    return f"{best.speed_up:.3f} (gamma {best.gamma}{tau})"


def _row(line: Line) -> list[str]:
    return [
        line.name,
        f"{line.tokens_per_second:.0f}",
        f"{line.slowest:.0f} .. {line.fastest:.0f}",
        f"{line.speed_up:.2f}",
        f"{line.speed_up_with_prefill:.2f}",
        "-" if line.mean_accepted is None else f"{line.mean_accepted:.2f}",
        percentages(line.acceptance_at),
        f"{line.host_share:.1%}",
        "-" if line.call_share is None else f"{line.call_share:.1%}",
    ]
