"""The paper's table of speed: for each number of samples the best of each kind, and the gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem_export.measure.speed.report import Line, Table


@dataclass(frozen=True, kw_only=True)
class Best:
    """The fastest candidate of a kind.

    Attributes:
      gamma: its longest draft.
      tau: its router threshold; None where drafts have a fixed length.
      speed_up: over the primary alone at its best width, decoding only.
      primary_runs, drafter_runs: for one answer.
    """

    gamma: int
    tau: float | None
    speed_up: float
    primary_runs: float
    drafter_runs: float


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One row of the table.

    Attributes:
      num_samples: answers to a prompt that are decoded side by side: the batch bucket.
      speed: SPEED at its best fixed gamma.
      baseline: SPEED with the baseline's drafter at its best gamma; None without a baseline.
      gain: `speed` over `baseline`.
      router: SPEED with the router at its best threshold; None without a router.
      router_gain: `router` over `speed`.
    """

    num_samples: int
    speed: Best
    baseline: Best | None
    gain: float | None
    router: Best | None
    router_gain: float | None


def paper_rows(tables: Sequence[Table]) -> tuple[PaperRow, ...]:
    """Returns a row for each batch bucket where SPEED took part."""
    rows = ((table, table.best("speed")) for table in tables)
    return tuple(_row(table, speed) for table, speed in rows if speed is not None)


def _row(table: Table, speed: Line) -> PaperRow:
    baseline, router = table.best("baseline"), table.best("router")
    return PaperRow(
        num_samples=table.batch,
        speed=_best(speed),
        baseline=None if baseline is None else _best(baseline),
        gain=None if baseline is None else speed.speed_up / baseline.speed_up,
        router=None if router is None else _best(router),
        router_gain=None if router is None else router.speed_up / speed.speed_up,
    )


def _best(line: Line) -> Best:
    assert line.gamma is not None, "what drafts has a gamma"
    return Best(
        gamma=line.gamma,
        tau=line.tau,
        speed_up=line.speed_up,
        primary_runs=line.primary_runs,
        drafter_runs=line.drafter_runs,
    )
