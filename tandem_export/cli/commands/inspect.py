"""`tandem-export inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tandem_export.cli.options import common, verified
from tandem_export.cli.output import make_table, print_json, print_tables, size
from tandem_export.cli.places import BUNDLE
from tandem_export.jsontypes import Json, JsonObject

if TYPE_CHECKING:
    from tandem_export.cli.tables import FittedTable


@click.command(
    epilog="""\b
Examples:
  tandem-export inspect build/demo
  tandem-export inspect build/demo --json | jq .bytes"""
)
@BUNDLE
@verified
@common
def inspect(bundle: Path, verify_key: str | None, as_json: bool) -> None:
    """Shows what a bundle holds.

    Every hash is checked, and that no graph does more than its role may: SECURITY.md. An expired
    bundle is shown too. A damaged one is an error.
    """
    from tandem_export.bundle import describe, open_bundle

    opened = open_bundle(bundle, allow_expired=True, verify_key=verify_key)
    opened.check_graphs()
    facts = describe(opened)
    print_json(facts) if as_json else print_tables(*_tables(facts))


def _tables(facts: JsonObject) -> list[FittedTable]:
    graphs = [
        [
            graph["name"],
            graph["parity"],
            _number(graph["difference"]),
            ", ".join(graph["platforms"]),
            ", ".join(sorted({one for calls in graph["custom_calls"].values() for one in calls})),
            size(sum(graph["bytes"].values())),
        ]
        for graph in facts["graphs"]
    ]
    columns = ("graph", "parity", ">difference", "platforms", "custom calls", ">size")
    return [
        make_table(facts["name"], ("", ""), _facts(facts)),
        make_table("Graphs", columns, graphs),
        make_table("Sizes", ("part", ">size"), [[k, size(n)] for k, n in facts["bytes"].items()]),
        make_table("Files", ("file", "sha256"), [[k, v] for k, v in facts["files"].items()]),
    ]


def _facts(facts: JsonObject) -> list[list[str]]:
    model, options = facts["model"], facts["options"]
    until = [f"{part}: {end or 'no end'}" for part, end in facts["not_after"].items()]
    return [
        ["path", facts["path"]],
        ["created", facts["created"]],
        ["pair", f"{model['kind']}, {'a' if model['router'] else 'no'} router"],
        ["vocabulary", f"{model['vocab_size']}, ends {model['end_tokens']}"],
        ["options", ", ".join(f"{k} {_list(v)}" for k, v in options.items() if k != "roles")],
        ["usable until", ", ".join(until)],
        ["expired", ", ".join(facts["expired"]) or "no"],
        ["built with", ", ".join(f"{tool} {v}" for tool, v in facts["versions"].items())],
    ]


def _list(value: Json) -> str:
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: float | None) -> str:
    return "not run" if value is None else f"{value:.2g}"
