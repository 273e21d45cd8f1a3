"""A whole benchmark."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tandem_export.jsontypes import JsonObject
from tandem_export.measure.process import Startup
from tandem_export.measure.speed.paper import PaperRow
from tandem_export.measure.speed.report import Table


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A whole benchmark: a table per batch bucket, and the time to the first token.

    Attributes:
      bundle, baseline: names.
      options: of the run, plain values.
      paper: the paper's table of the same figures.
      startup: None when it was not measured.
    """

    bundle: str
    baseline: str | None
    options: JsonObject
    tables: tuple[Table, ...]
    paper: tuple[PaperRow, ...]
    startup: Startup | None

    def to_dict(self) -> JsonObject:
        """Returns JSON values: times in seconds, rates in tokens per second, shares in 0 .. 1."""
        return dataclasses.asdict(self)
