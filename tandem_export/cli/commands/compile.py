"""`tandem-export compile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import ATTENTION, CHIPS, INTS, PRESETS, Option, Suggested, words
from tandem_export.cli.options import check_is_signed, common, renamed_option, verified
from tandem_export.cli.output import make_table, needs, print_json, print_tables, progress, size
from tandem_export.contract import ROLES
from tandem_export.tpu import run_without_chips

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable
    from tandem_export.tpu.compile import CompileReport, GraphReport, Trial
    from tandem_export.tpu.plan import PlanOptions, Slice

CHECK_FAILED = 1
SOURCE = Suggested(PRESETS, "BUNDLE|PRESET|FILE|CHECKPOINT")


@click.command(
    epilog="""\b
Examples:
  tandem-export compile build/demo --chip v5e
  tandem-export compile 2b --chip v5e --batch 4 --graphs primary_block,round
  tandem-export compile 8b --quantize int8 --json --out compile.json"""
)
@click.argument("source", type=SOURCE)
@renamed_option(
    "--chip",
    "--target",
    "chip",
    type=click.Choice(("v5e", *CHIPS)),
    default="v5e",
    help="v5e is v5e-1.",
)
@click.option(
    "--graphs",
    "roles",
    type=words("round,insert", ROLES),
    default=(),
    help="Roles.  [default: all]",
)
@click.option(
    "--vmem",
    type=click.IntRange(1),
    metavar="MIB",
    help="On-chip memory for one operation, in MiB.  [default: the compiler's, 16]",
)
@click.option("--tune", is_flag=True, help="Try several, keep the best options of each graph.")
@click.option(
    "--attention",
    type=words("two_part,kernel", ATTENTION),
    help="Of a plan: one or several, side by side.  [default: two_part]",
)
@click.option("--least-rows", type=INTS, help="Of a plan: 1, 2, or both.  [default: 1]")
@click.option("--batch", type=INTS, help="Batch buckets of a plan.  [default: chosen]")
@click.option("--cache", type=int, help="Tokens of a row, of a plan.  [default: 2048]")
@click.option(
    "--acceptance", metavar="RATE|FILE", help="Of a plan: or a file of `bench`.  [default: 0.8]"
)
@click.option("--quantize", type=click.Choice(["int8"]), help="Of a plan.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="COUNT",
    help="Compilers at once.  [default: one a core]",
)
@click.option("--reuse/--no-reuse", default=True, help="Take answers that an earlier run kept.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON goes here too.")
@verified
@common
def compile(
    source: str,
    chip: str,
    roles: tuple[str, ...],
    vmem: int | None,
    tune: bool,
    processes: int | None,
    reuse: bool,
    attention: tuple[str, ...] | None,
    least_rows: tuple[int, ...] | None,
    out: Path | None,
    verify_key: str | None,
    as_json: bool,
    **planned: Option,
) -> None:
    """Compiles every graph of SOURCE for a TPU v5e with its real compiler; no TPU is needed.

    SOURCE is a bundle, whose manifest then keeps the report, or what `plan` takes: a preset, a TOML
    file, a checkpoint. Exit code 1 if a graph does not compile or is not as it must be.
    """
    check_is_signed(source, verify_key)
    run_without_chips()
    with needs("tpu"), progress(quiet=as_json) as report:
        from tandem_export.bundle import open_bundle
        from tandem_export.tpu import compile as compiler
        from tandem_export.tpu import plan as library

        target = library.slice_named(chip)
        options = compiler.compile_options(target, vmem=vmem, reuse=reuse, processes=processes)
        if Path(source, "manifest.json").is_file():
            bundle = open_bundle(source, verify_key=verify_key)
            compiled = compiler.compile_bundle(bundle, options, roles, report, tune=tune)
        else:
            pair = library.read_pair(source)
            wanted = _plan_options(target, **planned)
            buckets = library.plan(source, pair, wanted)
            forms = {"attention": attention or (), "least_rows": least_rows or ()}
            compiled = compiler.compile_plan(buckets, options, roles, report, tune=tune, **forms)
    if out is not None:
        out.write_text(json.dumps(compiled.to_dict(), indent=1) + "\n", encoding="utf-8")
    print_json(compiled.to_dict()) if as_json else _print(compiled)
    if compiled.problems:
        raise click.exceptions.Exit(CHECK_FAILED)


def _plan_options(
    target: Slice, acceptance: str | None, quantize: str | None, **rest: Option
) -> PlanOptions:
    """Returns what was not asked for keeps the library's default."""
    from tandem_export.tpu import plan as library

    given = {name: value for name, value in rest.items() if value is not None}
    if acceptance is not None:
        given["acceptance"] = library.read_acceptance(acceptance)
    if quantize is not None:
        given["storage"] = quantize
    return library.PlanOptions(target=target, **given)


def _print(compiled: CompileReport) -> None:
    columns = (
        "graph",
        "compiles",
        ">peak",
        ">arguments",
        "cache in place",
        ">copies",
        ">moves",
        ">of roofline",
        ">estimated ms",
        "collectives",
        ">seconds",
    )
    rows = [_row(report, compiled.target) for report in compiled.graphs]
    title = f"{compiled.source} on {compiled.target.name}, libtpu {compiled.libtpu}"
    print_tables(make_table(title, columns, rows))
    if compiled.trials:
        print_tables(_trials(compiled))
    click.echo(f"estimated ms: {compiled.estimate}")
    for report in compiled.graphs:
        for problem in report.problems:
            text = f": {report.error}" if report.error else ""
            click.echo(f"{report.name} {problem}{text}")


def _trials(compiled: CompileReport) -> FittedTable:
    rows = [
        [
            trial.report.name,
            trial.form.attention,
            str(trial.form.least_rows),
            "own" if trial.vmem is None else str(trial.vmem),
            *_figures(trial, compiled.target),
            "best" if trial in compiled.chosen else "",
        ]
        for trial in compiled.trials
    ]
    columns = (
        "graph",
        "attention",
        ">least rows",
        ">on-chip MiB",
        ">moves",
        ">cycles",
        ">kernels",
        ">estimated ms",
        ">seconds",
        "chosen",
    )
    return make_table("Tried", columns, rows)


def _figures(trial: Trial, target: Slice) -> list[str]:
    report = trial.report
    if report.error is not None:
        return ["", "", "", "no", f"{report.compile_seconds:.1f}"]
    return [
        size(report.hbm_bytes),
        f"{report.cycles:,}",
        str(report.kernels),
        f"{trial.seconds(target) * 1e3:.3f}",
        f"{report.compile_seconds:.1f}",
    ]


def _row(report: GraphReport, target: Slice) -> list[str]:
    seconds = f"{report.compile_seconds:.1f}" + (" kept" if report.cached else "")
    if report.error is not None:
        return [report.name, "no", *[""] * 8, seconds]
    over, estimate = report.over_roofline, report.seconds(target)
    return [
        report.name,
        "yes",
        size(report.peak_bytes),
        size(report.argument_bytes),
        "yes" if report.is_in_place else "no",
        str(report.cache_copies),
        size(report.hbm_bytes),
        "-" if over is None else f"{over:.3f}",
        "-" if estimate is None else f"{estimate * 1e3:.3f}",
        ", ".join(f"{count} {kind}" for kind, count in report.collectives.items()) or "none",
        seconds,
    ]
