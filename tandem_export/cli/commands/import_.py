"""`tandem-export import`."""

from __future__ import annotations

from pathlib import Path

import click

from tandem_export.cli.choices import DTYPES, INTS, Option, words
from tandem_export.cli.options import common
from tandem_export.cli.output import (
    make_table,
    needs,
    print_json,
    print_next,
    print_tables,
    progress,
    size,
)
from tandem_export.jsontypes import JsonObject

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(exists=True, path_type=Path)


@click.command(
    "import",
    epilog="""\b
Examples:
  tandem-export import Llama-3.1-8B --drafter Llama-3.2-1B --tandem trained.safetensors --out pair
  tandem-export import gemma-3-270m.gguf --drafter-layers 0,5,11,17 --out pair
  tandem-export import model.safetensors --config pair.toml --map names.toml \\
      --tokenizer tokenizer.json --end-tokens "<eos>" --out pair
  tandem-export import orbax/ --config pair.json --tokenizer Llama-3.1-8B --out pair""",
)
@click.argument("primary")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The checkpoint.")
@click.option(
    "--drafter", metavar="PATH", help="A Hugging Face folder, a GGUF file or a checkpoint."
)
@click.option("--drafter-layers", type=INTS, help="Make the drafter of these layers of PRIMARY.")
@click.option(
    "--drafter-vocabulary", type=_FILE, help="A JSON list of token ids that the drafter keeps."
)
@click.option("--tandem", type=_FILE, help="Safetensors with projections, and perhaps a router.")
@click.option(
    "--layer-map",
    type=INTS,
    help="For each projection, the primary layer whose output it takes, such as 9,18.",
)
@click.option("--tau", type=float, help="The router's default threshold, 0 to 1.  [default: 0.8]")
@click.option("--config", type=_FILE, help="Of a whole pair: its configuration, TOML or JSON.")
@click.option("--map", "map_file", type=_FILE, help="TOML: the names that its tensors have.")
@click.option("--tokenizer", type=_PATH, help="A tokenizer.json, or a folder with tokenizer files.")
@click.option("--chat-template", type=_FILE, help="A jinja file.")
@click.option(
    "--end-tokens", type=words("0,<end>"), help="More tokens that end a text: ids or texts."
)
@click.option("--dtype", type=click.Choice(DTYPES), help="[default: as the weights are]")
@click.option("--overwrite", is_flag=True, help="Replace the checkpoint at --out.")
@common
def import_(out: Path, overwrite: bool, as_json: bool, **options: Option) -> None:
    """Makes a checkpoint from PRIMARY and a drafter.

    PRIMARY is a Hugging Face folder, a GGUF file or a checkpoint; without --tandem the drafter is
    an independent one. Or it is a whole pair, with --config: an Orbax folder, or a file of tensors
    (.safetensors, .npz, or .pt of torch, which is never unpickled), whose names --map tells.
    """
    with needs("import"):
        from tandem_export.checkpoint import summary
        from tandem_export.importing import ImportOptions, import_checkpoint

        given = {name: value for name, value in options.items() if value not in (None, ())}
        with progress(quiet=as_json) as report:
            checkpoint = import_checkpoint(
                ImportOptions(**given), out, overwrite=overwrite, progress=report
            )
        facts = summary(checkpoint) | {"notes": _notes(checkpoint.provenance["imported"])}
    print_json(facts) if as_json else _print(out, facts)


def _notes(imported: JsonObject) -> list[str]:
    """Returns what the import did otherwise than the files say, for each part."""
    parts = {part: facts for part, facts in imported.items() if isinstance(facts, dict)}
    return [f"{part}: {note}" for part, facts in parts.items() for note in facts.get("notes", [])]


def _print(out: Path, facts: JsonObject) -> None:
    rows = [
        [name, str(p["tensors"]), f"{p['parameters']:,}", size(p["bytes"]), p["dtype"]]
        for name, p in facts["parts"].items()
    ]
    title = f"{out}: {facts['kind']}, {facts['parameters']:,} parameters"
    print_tables(make_table(title, ("part", ">tensors", ">parameters", ">size", "dtype"), rows))
    for note in facts["notes"]:
        click.echo(note)
    print_next(f"checkpoint inspect {out}", f"build {out} --out DIR")
