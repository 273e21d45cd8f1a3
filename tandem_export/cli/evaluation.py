"""The tables of an evaluation, of one pair or of several beneath each other."""

from __future__ import annotations

from collections.abc import Sequence

from tandem_export.cli.output import make_table, percentages
from tandem_export.cli.tables import FittedTable
from tandem_export.jsontypes import JsonObject

_MEASURES = (
    "model",
    ">block",
    ">accuracy",
    ">CE, nats",
    ">relative accuracy",
    ">relative TV",
    ">vocabulary",
)


def tables(evaluations: Sequence[JsonObject]) -> list[FittedTable]:
    """Returns the paper's table and that of the loop, if it ran.

    Args:
      evaluations: what `Evaluation.to_dict` gives, the pairs on the same tokens.
    """
    return [
        make_table(_title(evaluations), ("pair", *_MEASURES), _rows(evaluations)),
        *_loop_tables(evaluations),
    ]


def _title(evaluations: Sequence[JsonObject]) -> str:
    return f"{evaluations[0]['primary']['tokens']:,} tokens of {evaluations[0]['texts']} texts"


def _rows(evaluations: Sequence[JsonObject]) -> list[list[str]]:
    """Returns the primaries, then each block length with the pairs beneath each other."""
    rows = [
        [_name(one), "primary", "", *_figures(one["primary"], "accuracy", "ce"), "", "", ""]
        for one in evaluations
    ]
    blocks = list(dict.fromkeys(row["block"] for one in evaluations for row in one["drafter"]))
    for block in blocks:
        for one in evaluations:
            rows += [_row(one, row) for row in one["drafter"] if row["block"] == block]
    return rows


def _name(one: JsonObject) -> str:
    return f"{one['bundle']} ({one['executor']})"


def _row(one: JsonObject, row: JsonObject) -> list[str]:
    figures = _figures(row, "accuracy", "ce", "relative_accuracy", "relative_tv")
    block = "any" if row["block"] is None else str(row["block"])
    return [_name(one), "drafter", block, *figures, f"{row['known_share']:.1%}"]


def _figures(row: JsonObject, *names: str) -> list[str]:
    return ["-" if row[name] is None else f"{row[name]:.4f}" for name in names]


def _loop_tables(evaluations: Sequence[JsonObject]) -> list[FittedTable]:
    rows = [
        [
            _name(one),
            row["sampling"],
            str(row["gamma"]),
            str(row["tokens"]),
            f"{row['accepted_per_round']:.2f}",
            percentages(row["acceptance_at"]),
        ]
        for one in evaluations
        for row in one["acceptance"]
    ]
    columns = ("pair", "sampling", ">gamma", ">tokens", ">accepted", "acceptance by position")
    return [make_table("In the loop", columns, rows)] if rows else []
