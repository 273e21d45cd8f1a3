"""What a benchmark measured: medians, and ratios over the primary alone at its best width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tandem_export.measure.speed.candidates import Candidate


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One turn of one candidate.

    Attributes:
      seconds: the whole call, prefill included.
      decode_seconds: without prefill and insertion.
      host_seconds: of the decode seconds, those outside the executor's rounds.
      call_seconds: of those inside them, the ones that calls of empty graphs would take; None where
        the executor's calls cannot be measured.
      tokens: answered.
      primary_runs, drafter_runs: for one answer.
      mean_accepted: drafts accepted per round of a row; None where nothing drafts.
      acceptance_at: accepted / drafted for each place in the draft.
    """

    seconds: float
    decode_seconds: float
    host_seconds: float
    call_seconds: float | None
    tokens: int
    primary_runs: float
    drafter_runs: float
    mean_accepted: float | None
    acceptance_at: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One candidate: medians over its turns.

    Attributes:
      gamma: longest draft; of the primary alone, its block's width less one (None: width 1).
      tau: router threshold; None without a router.
      tokens_per_second: of decoding, all rows of the batch together.
      slowest, fastest: tokens per second of the slowest and fastest turn.
      speed_up: `tokens_per_second` over that of the primary alone at its best width.
      speed_up_with_prefill: the same over whole calls.
      primary_runs, drafter_runs: for one answer.
      host_share: of a round's time, the share outside the executor.
      call_share: the share that calling the compiled graph takes, its arithmetic apart.
    """

    name: str
    family: str
    gamma: int | None
    tau: float | None
    tokens_per_second: float
    slowest: float
    fastest: float
    speed_up: float
    speed_up_with_prefill: float
    primary_runs: float
    drafter_runs: float
    mean_accepted: float | None
    acceptance_at: tuple[float, ...]
    host_share: float
    call_share: float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """All candidates of one batch bucket, in one alternating run."""

    batch: int
    lines: tuple[Line, ...]

    def best(self, family: str) -> Line | None:
        """Returns the fastest candidate of a family; None if it took no part."""
        lines = [line for line in self.lines if line.family == family]
        return max(lines, key=lambda line: line.tokens_per_second, default=None)


def table(
    batch: int, candidates: Sequence[Candidate], turns: Sequence[Sequence[Measurement]]
) -> Table:
    """Returns medians and ratios; `turns` has one sequence per candidate, a primary among them."""
    primaries = [
        measured for c, measured in zip(candidates, turns, strict=True) if c.family == "primary"
    ]
    decode = max(_rate(measured, "decode_seconds") for measured in primaries)
    with_prefill = max(_rate(measured, "seconds") for measured in primaries)
    pairs = zip(candidates, turns, strict=True)
    return Table(
        batch=batch, lines=tuple(_line(c, measured, decode, with_prefill) for c, measured in pairs)
    )


def _line(
    candidate: Candidate, turns: Sequence[Measurement], decode: float, with_prefill: float
) -> Line:
    rates = [turn.tokens / turn.decode_seconds for turn in turns]
    rate = median(rates)
    return Line(
        name=candidate.name,
        family=candidate.family,
        gamma=candidate.params.gamma,
        tau=candidate.params.tau,
        tokens_per_second=rate,
        slowest=min(rates),
        fastest=max(rates),
        speed_up=rate / decode,
        speed_up_with_prefill=_rate(turns, "seconds") / with_prefill,
        # Counts, not times: the same in every turn.
        primary_runs=turns[0].primary_runs,
        drafter_runs=turns[0].drafter_runs,
        mean_accepted=turns[0].mean_accepted,
        acceptance_at=turns[0].acceptance_at,
        host_share=median(turn.host_seconds / turn.decode_seconds for turn in turns),
        call_share=_call_share(turns),
    )


def _rate(turns: Sequence[Measurement], seconds: str) -> float:
    return median(turn.tokens / getattr(turn, seconds) for turn in turns)


def _call_share(turns: Sequence[Measurement]) -> float | None:
    """Returns the median; None if a turn did not measure it."""
    shares = [t.call_seconds / t.decode_seconds for t in turns if t.call_seconds is not None]
    return median(shares) if len(shares) == len(turns) else None
