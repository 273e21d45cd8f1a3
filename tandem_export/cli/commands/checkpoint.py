"""`tandem-export checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.choices import DTYPES
from tandem_export.cli.options import common
from tandem_export.cli.output import make_table, needs, print_json, print_tables, size
from tandem_export.cli.places import CHECKPOINT
from tandem_export.jsontypes import JsonObject

if TYPE_CHECKING:
    from tandem_export.checkpoint.comparison.compare import OutputComparison
    from tandem_export.cli.tables import FittedTable


@click.group()
def checkpoint() -> None:
    """Works with checkpoints."""


@checkpoint.command(
    epilog="""\b
Examples:
  tandem-export checkpoint inspect demo:stdlib-mini
  tandem-export checkpoint inspect CHECKPOINT --json"""
)
@click.argument("path", type=CHECKPOINT)
@common
def inspect(path: str, as_json: bool) -> None:
    """Shows what the checkpoint at PATH holds, after checking it.

    PATH is a folder with a tandem.json, such a JSON file, or demo:NAME.
    """
    with needs("stablehlo"):
        from tandem_export.checkpoint import read_checkpoint, summary

        facts = summary(read_checkpoint(path))
    print_json(facts) if as_json else print_tables(*_tables(path, facts))


@checkpoint.command(
    epilog="""\b
Examples:
  tandem-export checkpoint compare pair reference.npz
  tandem-export checkpoint compare pair reference.npz --dtype bfloat16 --json"""
)
@click.argument("path", metavar="CHECKPOINT", type=CHECKPOINT)
@click.argument("reference", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="What the reference was computed in.  [default: as the weights are]",
)
@common
@click.pass_context
def compare(
    ctx: click.Context, path: str, reference: Path, dtype: str | None, as_json: bool
) -> None:
    """Compares the outputs of CHECKPOINT with those of its owner's program.

    REFERENCE is an .npz file with tokens and what primary, drafter and router make of them;
    docs/how-to/own-weights.md lists its arrays. Exit code 1 if an output differs.
    """
    from tandem_export.parity import NEAR_TIE

    with needs("stablehlo"):
        from tandem_export.checkpoint import overall_dtype, read_checkpoint, read_reference
        from tandem_export.checkpoint.comparison.compare import compare as library

        pair = read_checkpoint(path)
        given = overall_dtype(pair.params)
        tolerance = NEAR_TIE[dtype or ("float32" if given == "float32" else "bfloat16")]
        comparisons = library(pair, read_reference(reference, pair.config), tolerance)
    passed = all(each.passed for each in comparisons)
    facts = {"passed": passed, "outputs": [each.to_dict() for each in comparisons]}
    print_json(facts) if as_json else _print_comparison(f"{path} and {reference}", comparisons)
    ctx.exit(0 if passed else 1)


def _print_comparison(title: str, comparisons: list[OutputComparison]) -> None:
    rows = [
        [
            each.output,
            f"{each.largest:.3g}",
            f"{each.allowed:.3g}",
            *("-" if i is None else str(i) for i in (each.sequence, each.position, each.index)),
            "equal" if each.passed else "DIFFERS",
        ]
        for each in comparisons
    ]
    columns = ("output", ">difference", ">allowed", ">sequence", ">position", ">index", "result")
    print_tables(make_table(title, columns, rows))
    for each in comparisons:
        if not each.passed:
            click.echo(
                f"{each.output}: expected {each.expected:.6g}, got {each.got:.6g}. {_advice(each)}"
            )
    good = all(each.passed for each in comparisons)
    click.echo(f"The outputs are {'those' if good else 'NOT those'} of the reference.")


def _advice(each: OutputComparison) -> str:
    """Returns where to look; outputs that come earlier are the cause of later ones."""
    part = each.output.partition(".")[0]
    return {
        "primary": "Look at the primary's tensors, rope and norms; the others follow from it.",
        "drafter": "If the primary is equal: look at layer_map, projections, the drafter's own.",
        "router": "If the drafter is equal: look at the router's tensors and top_k.",
    }[part]


def _tables(path: str, facts: JsonObject) -> list[FittedTable]:
    title = f"{path}: {facts['kind']}, {facts['parameters']:,} parameters, {size(facts['bytes'])}"
    parts = [
        [name, str(p["tensors"]), f"{p['parameters']:,}", size(p["bytes"]), p["dtype"]]
        for name, p in facts["parts"].items()
    ]
    config = facts["config"]
    names = ("num_layers", "width", "num_heads", "num_kv_heads", "head_size", "ff_size")
    shapes = [[n, str(config["primary"][n]), str(config["drafter"][n])] for n in names]
    vocabulary = [[name, str(value)] for name, value in facts["vocabulary"].items()]
    return [
        make_table(title, ("part", ">tensors", ">parameters", ">size", "dtype"), parts),
        make_table("Shapes", ("", ">primary", ">drafter"), shapes),
        make_table("Vocabulary", ("", ""), vocabulary),
        make_table("Files", ("entry", "sha256"), [[k, v] for k, v in facts["sha256"].items()]),
    ]
