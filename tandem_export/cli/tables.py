"""Tables that fit: columns for which there is no room go into further tables below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

# A column's padding and the line beside it.
_BESIDE = 3


@dataclass(frozen=True, kw_only=True)
class FittedTable:
    """A table under its title.

    Attributes:
      title: one line of text.
      columns: their names; those that begin with `>` are set to the right. The first column tells
        the rows apart: it stands in each of the tables that a narrow terminal gets.
      rows: the texts.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Returns the title, and as many tables as the width needs."""
        # Not the table's own title, which is broken at the table's width.
        yield Text(self.title, style="bold")
        for places in column_groups(self._widths(), options.max_width):
            yield self._table(places)

    def _widths(self) -> list[int]:
        names = [name.removeprefix(">") for name in self.columns]
        return [
            max(cell_len(text) for text in (names[i], *(row[i] for row in self.rows)))
            for i in range(len(names))
        ]

    def _table(self, places: Sequence[int]) -> Table:
        table = Table(show_header=any(self.columns))
        for i in places:
            name = self.columns[i]
            side = "right" if name.startswith(">") else "left"
            table.add_column(name.removeprefix(">"), justify=side, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(row[i]) for i in places))
        return table


def column_groups(widths: Sequence[int], room: int) -> list[list[int]]:
    """Returns which columns stand in each table: the first, and others while there is room."""
    groups, used = [[0]], widths[0] + _BESIDE + 1
    for i in range(1, len(widths)):
        if len(groups[-1]) > 1 and used + widths[i] + _BESIDE > room:
            groups.append([0])
            used = widths[0] + _BESIDE + 1
        groups[-1].append(i)
        used += widths[i] + _BESIDE
    return groups
