"""`tandem-export build`."""

from __future__ import annotations

from pathlib import Path

import click

from tandem_export.cli.choices import (
    ATTENTION,
    DTYPES,
    INTS,
    LOSSLESS,
    PLATFORMS,
    TARGETS,
    Option,
    words,
)
from tandem_export.cli.options import common, renamed_option
from tandem_export.cli.output import (
    make_table,
    needs,
    print_json,
    print_next,
    print_tables,
    progress,
    size,
)
from tandem_export.cli.places import CHECKPOINT
from tandem_export.contract import ROLES
from tandem_export.jsontypes import JsonObject


@click.command(
    epilog="""\b
Examples:
  tandem-export build demo:stdlib-mini --out build/demo
  tandem-export build CHECKPOINT --out DIR --batch 1,8 --gamma 3,5 --dtype bfloat16
  tandem-export build CHECKPOINT --out DIR --graphs prefill,insert,round --platform cpu"""
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The bundle's folder.")
@renamed_option(
    "--format",
    "--target",
    "formats",
    type=click.Choice(TARGETS),
    multiple=True,
    default=("stablehlo",),
    help="What engines the graphs are for; may be repeated.",
)
@click.option("--batch", type=INTS, help="Rows that a graph runs at once.  [default: 1,4]")
@click.option(
    "--gamma", type=INTS, help="Longest drafts of a round, in tokens.  [default: 1,3,5,8]"
)
@click.option("--prompt", type=INTS, help="Lengths of prompt chunks, in tokens.  [default: 64,256]")
@click.option("--cache", type=int, help="Tokens of a row, prompt and answer.  [default: 512]")
@click.option(
    "--max-new", type=int, help="Longest answer of `generate` graphs, in tokens.  [default: 128]"
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="Of weights and activations.  [default: float32]",
)
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Store matrices in 1 byte a weight.  [default: no]",
)
@click.option(
    "--attention",
    type=click.Choice(ATTENTION),
    help="How a block attends; all but in_cache claim P1; kernel is for TPU.  [default: in_cache]",
)
@click.option(
    "--least-rows",
    type=click.IntRange(1, 2),
    help="Rows of the smallest product; 2 is faster on a TPU at batch 1.  [default: 1]",
)
@click.option(
    "--lossless",
    type=click.Choice(LOSSLESS),
    help="exact: one width a round (P0); numeric: widths vary (P1).  [default: exact]",
)
@click.option(
    "--platform",
    "platforms",
    type=click.Choice(PLATFORMS),
    multiple=True,
    help="What StableHLO is lowered for; may be repeated.  [default: both]",
)
@click.option(
    "--graphs",
    "roles",
    type=words("round,insert", ROLES),
    help="Roles of the graphs to build.  [default: all]",
)
@click.option(
    "--slots", type=int, help="savedmodel: rows that all callers hold together.  [default: 8]"
)
@click.option(
    "--model-version", "version", type=int, help="savedmodel: the version folder.  [default: 1]"
)
@click.option(
    "--calling-convention",
    type=int,
    help="savedmodel: 9 for TensorFlow before 2.20.  [default: 10]",
)
@click.option(
    "--stablehlo-version",
    metavar="VERSION",
    help="savedmodel: written for, such as 1.1.0, the default.",
)
@click.option("--overwrite", is_flag=True, help="Replace the bundle at --out.")
@common
def build(
    checkpoint: str,
    out: Path,
    formats: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
    slots: int | None,
    version: int | None,
    calling_convention: int | None,
    stablehlo_version: str | None,
    **options: Option,
) -> None:
    """Exports CHECKPOINT to a bundle.

    CHECKPOINT is a folder with a tandem.json, such a JSON file, or demo:stdlib-mini or
    demo:stdlib-mini-independent.
    """
    with needs("stablehlo" if set(formats) == {"stablehlo"} else "build"):
        from tandem_export import targets as library
        from tandem_export.bundle import describe
        from tandem_export.checkpoint import read_checkpoint
        from tandem_export.graphs import BuildOptions, left_out

        # What was not asked for keeps the library's default.
        given = _given(options)
        serving = _given(
            {
                "slots": slots,
                "version": version,
                "calling_convention": calling_convention,
                "stablehlo_version": stablehlo_version,
            }
        )
        _check_savedmodel(serving, formats)
        if "platforms" in given:
            given["platforms"] = tuple(sorted(set(given["platforms"])))
        wanted, pair = BuildOptions(**given), read_checkpoint(checkpoint)
        gone = [str(one) for one in left_out(pair.config, wanted)]
        for text in gone:
            click.echo(f"Warning: {text}.", err=True)
        chosen = {"savedmodel": library.SavedModelOptions(**serving)} if serving else {}
        with progress(quiet=as_json) as report:
            bundle = library.build(
                pair,
                wanted,
                out,
                targets=formats,
                progress=report,
                overwrite=overwrite,
                target_options=chosen,
            )
    facts = describe(bundle) | {"left_out": gone}
    print_json(facts) if as_json else _print(facts)


def _given(options: JsonObject) -> JsonObject:
    return {name: value for name, value in options.items() if value not in (None, ())}


def _check_savedmodel(serving: JsonObject, formats: tuple[str, ...]) -> None:
    if serving and "savedmodel" not in formats:
        name = next(iter(serving))
        option = "--model-version" if name == "version" else f"--{name.replace('_', '-')}"
        rule = f"`{option}` needs `--format savedmodel`"
        raise click.UsageError(f"{rule}. Got: --format {' --format '.join(formats)}")


def _print(facts: JsonObject) -> None:
    rows = [[part, size(count)] for part, count in facts["bytes"].items()]
    title = f"{facts['path']}: {len(facts['graphs'])} graphs, parity {', '.join(facts['parity'])}"
    print_tables(make_table(title, ("part", ">size"), rows))
    differences = [g["difference"] for g in facts["graphs"] if g["difference"] is not None]
    if differences:
        click.echo(f"largest difference to the traced functions: {max(differences):.2g}")
    print_next(*_next(facts))


def _next(facts: JsonObject) -> list[str]:
    """Returns what can be done with the graphs that are there."""
    path, roles = facts["path"], {graph["role"] for graph in facts["graphs"]}
    commands = [f"inspect {path}"]
    if "round" in roles or {"primary_block", "drafter_step"} <= roles:
        commands.append(f'generate {path} "PROMPT"')
    if {"primary_block", "drafter_step"} <= roles:
        commands += [f"verify {path}", f"bench {path}"]
    return commands
