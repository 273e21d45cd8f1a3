"""`tandem-export checkpoint`."""

from __future__ import annotations

from typing import Any

import click

from tandem_export.cli.options import common
from tandem_export.cli.output import make_table, needs, print_json, print_tables, size


@click.group()
def checkpoint() -> None:
    """Works with checkpoints."""


@checkpoint.command(
    epilog="""\b
Examples:
  tandem-export checkpoint inspect demo:stdlib-mini
  tandem-export checkpoint inspect CHECKPOINT --json"""
)
@click.argument("path")
@common
def inspect(path: str, as_json: bool) -> None:
    """Shows what the checkpoint at PATH holds, after checking it.

    PATH is a folder with a tandem.json, such a JSON file, or demo:NAME.
    """
    with needs("build"):
        from tandem_export.checkpoint import read_checkpoint, summary

        facts = summary(read_checkpoint(path))
    print_json(facts) if as_json else print_tables(*_tables(path, facts))


def _tables(path: str, facts: dict[str, Any]) -> list[Any]:
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
