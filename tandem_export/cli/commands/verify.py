"""`tandem-export verify`."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import EXECUTOR, INTS, Option
from tandem_export.cli.options import common, pick_executor, prompts_file, running, verified
from tandem_export.cli.output import make_table, print_json, print_tables, progress, read_prompts
from tandem_export.cli.places import BUNDLE
from tandem_export.cli.signals import AT_END

if TYPE_CHECKING:
    from tandem_export.parity import Check, Report

_MOST_SHOWN = 10
_RESULTS = {True: "pass", False: "FAIL", None: "-"}


@click.command(
    epilog="""\b
Examples:
  tandem-export verify build/demo
  tandem-export verify build/demo --prompts 64 --max-new-tokens 32
  tandem-export verify DIR --prompts-file prompts.json --batch 1 --gamma 5 --json"""
)
@BUNDLE
@click.option("--prompts", type=int, default=16, help="How many.")
@click.option("--max-new-tokens", type=int, default=16, help="Longest answer.")
@click.option("--batch", type=INTS, default=(), help="Batch buckets.  [default: all]")
@click.option("--gamma", type=INTS, default=(), help="Gamma buckets.  [default: all]")
@click.option("--samples", type=int, default=4000, help="Tokens drawn for P2; 0 leaves it out.")
@click.option(
    "--reference",
    type=EXECUTOR,
    help="Runs the primary that is compared with, at P1.  [default: that of --executor]",
)
@prompts_file
@running
@verified
@common
@click.pass_context
def verify(
    ctx: click.Context,
    bundle: Path,
    prompts_file: Path | None,
    compilation_cache: Path | None,
    executor: str | None,
    verify_key: str | None,
    as_json: bool,
    **options: Option,
) -> None:
    """Tests the parity level that DIR claims.

    Exit code 1 if it does not hold. The primary's own text is the reference: the same graphs with
    one real token per call.
    """
    from tandem_export import parity

    with progress(quiet=as_json) as report:
        verified = parity.verify(
            bundle,
            parity.VerifyOptions(
                executor=pick_executor(bundle, executor, verify_key),
                compilation_cache=compilation_cache or _own_cache(),
                **options,
            ),
            prompts=read_prompts(prompts_file),
            progress=report,
            verify_key=verify_key,
        )
    print_json(verified.to_dict()) if as_json else _print(verified)
    ctx.exit(0 if verified.passed else 1)


@cache
def _own_cache() -> str:
    """Makes a folder for compiled graphs that lives as long as the process: JAX stays with it."""
    folder = tempfile.mkdtemp(prefix="tandem-export-")
    AT_END.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _print(verified: Report) -> None:
    rows = [
        [
            check.level,
            check.claim,
            str(check.cases),
            str(check.tokens),
            _RESULTS[check.passed],
            "not tested" if check.passed is None else check.detail or _count(check),
        ]
        for check in verified.checks
    ]
    title = (
        f"{verified.bundle}, {verified.dtype}, claims {verified.parity}: {verified.prompts} prompts"
    )
    columns = ("level", "claim", ">cases", ">tokens", "result", "")
    print_tables(make_table(title, columns, rows))
    _print_divergences(verified)
    verdict = "verified" if verified.passed else "NOT verified"
    name = {"P0": "P0 exact", "P1": "P1 numeric"}[verified.parity]
    for check in verified.checks:
        if check.passed is None:
            click.echo(f"{check.level} {check.detail}")
    click.echo(f"{name}: {verdict}")


def _count(check: Check) -> str:
    return f"{len(check.divergences)} divergences" if check.divergences else ""


def _print_divergences(verified: Report) -> None:
    every = [divergence for check in verified.checks for divergence in check.divergences]
    rows = [
        [
            d.case,
            str(d.prompt),
            str(d.place),
            str(d.expected),
            str(d.got),
            "-" if d.margin is None else f"{d.margin:.3g}",
            "-" if d.difference is None else f"{d.difference:.3g}",
        ]
        for d in every[:_MOST_SHOWN]
    ]
    if rows:
        title = f"Divergences, {len(rows)} of {len(every)}"
        columns = ("case", ">prompt", ">place", ">expected", ">got", ">margin", ">difference")
        print_tables(make_table(title, columns, rows))
