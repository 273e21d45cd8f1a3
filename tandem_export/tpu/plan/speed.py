"""Expected tokens per second of SPEED rounds, by the roofline; the best gamma of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from tandem_export.tpu.chips import Slice
from tandem_export.tpu.plan.costs import Pair
from tandem_export.tpu.plan.options import PlanOptions

# The roofline tells no two gammas apart that are closer than this; the compiler pads the rows of a
# block to whole registers of 8, so the next multiple of 8 rows comes for nothing.
_TIE = 0.01
_TILE_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a round of one batch and gamma is expected to do.

    Attributes:
      tokens: per row and round.
      seconds: of a round, as fast as memory and arithmetic allow.
      tokens_per_second: of all rows together.
      speed_up: over rounds of gamma 0 at the same batch.
      bound: what limits the verification, `memory` or `compute`.
    """

    gamma: int
    tokens: float
    seconds: float
    tokens_per_second: float
    speed_up: float
    bound: str


def longest_gamma(options: PlanOptions, batch: int) -> int:
    """Returns the longest draft whose verification is bound by memory: B * (G + 1) <= balance."""
    rows = options.target.balance(options.storage)
    return max(0, min(options.gamma_max, rows // batch - 1))


def curve(pair: Pair, options: PlanOptions, batch: int) -> list[Speed]:
    """Returns every gamma from 0 to the longest, for one batch."""
    gammas = range(longest_gamma(options, batch) + 1)
    alone = batch / round_seconds(pair, options, batch, 0)
    return [_speed(pair, options, batch, gamma, alone) for gamma in gammas]


def best(speeds: list[Speed], batch: int) -> Speed:
    """Returns the fastest; of those within `_TIE`, the one that fills its tiles best."""
    most = max(speed.tokens_per_second for speed in speeds)
    near = [speed for speed in speeds if speed.tokens_per_second >= most * (1 - _TIE)]
    return max(near, key=lambda s: (-_empty(batch * (s.gamma + 1)), s.tokens_per_second))


def _empty(rows: int) -> float:
    """Returns the share of a matmul's row tiles that `rows` rows leave empty."""
    padded = -(-rows // _TILE_ROWS) * _TILE_ROWS
    return 1 - rows / padded


def round_seconds(pair: Pair, options: PlanOptions, batch: int, gamma: int) -> float:
    """Estimates gamma drafter steps, then the primary at width gamma + 1."""
    target = options.target
    step = pair.drafter.seconds(target, batch, 1)
    if options.drafter_cost is not None:
        step = options.drafter_cost * pair.primary.seconds(target, batch, 1)
    return pair.primary.seconds(target, batch, gamma + 1) + gamma * step


def _speed(pair: Pair, options: PlanOptions, batch: int, gamma: int, alone: float) -> Speed:
    tokens = options.acceptance.tokens(gamma)
    seconds = round_seconds(pair, options, batch, gamma)
    rate = batch * tokens / seconds
    return Speed(
        gamma=gamma,
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=rate,
        speed_up=rate / alone,
        bound=_bound(pair, options.target, batch, gamma + 1),
    )


def _bound(pair: Pair, target: Slice, batch: int, width: int) -> str:
    """Returns whether the primary's block waits for memory or for arithmetic."""
    memory = pair.primary.bytes(batch) / target.bandwidth
    return "memory" if memory >= pair.primary.flops(batch, width) / target.flops else "compute"
