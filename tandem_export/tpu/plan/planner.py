"""Chooses the buckets of a build for a target, from configs alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tandem_export.config import TandemConfig, to_dict
from tandem_export.jsontypes import JsonObject
from tandem_export.tpu.plan.costs import Pair, pair_costs
from tandem_export.tpu.plan.memory import Memory, check_fits, largest_batch, memory_of
from tandem_export.tpu.plan.options import PlanOptions
from tandem_export.tpu.plan.speed import Speed, best, curve


@dataclass(frozen=True, kw_only=True)
class PlannedBucket:
    """One batch bucket.

    Attributes:
      batch: its rows.
      widths: the verification widths to build: 1, and the best gamma's.
      best: the gamma that gives most tokens per second; 0 where speculation does not pay.
      curve: every gamma that was considered.
      memory: bytes on one chip, at the widest.
      idle_rows: the share of rows that stands idle, over all numbers of requests that this bucket
        serves; 0.25 for three requests on four rows.
      waste: the share of tokens per second that padding costs, against a bucket of just the rows in
        use: mean and worst over the same numbers.
    """

    batch: int
    widths: tuple[int, ...]
    best: Speed
    curve: tuple[Speed, ...]
    memory: Memory
    idle_rows: float
    waste: float
    worst_waste: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The buckets of one pair on one target.

    Attributes:
      pair: the name it was asked for by.
      config: both decoders, the router.
      options: what was asked for.
      costs: of one run of each model, on one chip.
      buckets: by rising batch.
    """

    pair: str
    config: TandemConfig
    options: PlanOptions
    costs: Pair
    buckets: tuple[PlannedBucket, ...]

    def to_dict(self) -> JsonObject:
        """Returns JSON values; `estimate` says what the times are worth."""
        target = dataclasses.asdict(self.options.target)
        buckets = [
            dataclasses.asdict(bucket) | {"memory_total": bucket.memory.total}
            for bucket in self.buckets
        ]
        return {
            "pair": self.pair,
            "estimate": "roofline: bytes and operations at the chip's peak rates, not measured",
            "config": to_dict(self.config),
            "options": dataclasses.asdict(self.options) | {"target": target["name"]},
            "target": target,
            "costs": dataclasses.asdict(self.costs),
            "buckets": buckets,
        }


def plan(name: str, config: TandemConfig, options: PlanOptions) -> Plan:
    """Plans `config`, called `name` in the report.

    Raises:
      DoesNotFitError: a batch that was asked for, or even batch 1, does not fit the target.
    """
    pair = pair_costs(config, options.target, options.storage, options.cache)
    wanted = options.batch or _choose(config, pair, options)
    for batch in options.batch:
        _check(config, pair, options, batch)
    lower = (0, *wanted[:-1])
    buckets = [_bucket(pair, options, low, batch) for low, batch in zip(lower, wanted, strict=True)]
    return Plan(pair=name, config=config, options=options, costs=pair, buckets=tuple(buckets))


def _check(config: TandemConfig, pair: Pair, options: PlanOptions, batch: int) -> None:
    width = _best(pair, options, batch).gamma + 1
    check_fits(config, options.target, options.storage, options.cache, batch, width)


def _choose(config: TandemConfig, pair: Pair, options: PlanOptions) -> tuple[int, ...]:
    """Powers of two, from the batch of most tokens per second down.

    A power is left out where padding to the next one is cheap, and above the batch at which longer
    drafts no longer fit the balance and all rows together become slower.
    """
    rows = options.target.balance(options.storage)
    if largest_batch(pair, options.target, 1, rows) == 0:
        _check(config, pair, options, 1)
    powers = [2**i for i in range(rows.bit_length())]
    fitting = [b for b in powers if _fits(pair, options, b)]
    top = max(fitting, key=lambda b: _best(pair, options, b).tokens_per_second)
    chosen = [top]
    for batch in reversed([b for b in fitting if b < top]):
        if _waste(pair, options, batch, chosen[-1]) > options.max_waste:
            chosen.append(batch)
    return tuple(reversed(chosen))


def _best(pair: Pair, options: PlanOptions, batch: int) -> Speed:
    """Returns the best gamma whose round fits the memory; 0 where none does."""
    speeds = curve(pair, options, batch)
    limit = options.target.hbm_bytes
    fitting = [s for s in speeds if memory_of(pair, batch, s.gamma + 1).total <= limit]
    return best(fitting or speeds[:1], batch)


def _fits(pair: Pair, options: PlanOptions, batch: int) -> bool:
    width = _best(pair, options, batch).gamma + 1
    return memory_of(pair, batch, width).total <= options.target.hbm_bytes


def _waste(pair: Pair, options: PlanOptions, rows: int, batch: int) -> float:
    """Returns the share of tokens per second that `rows` requests lose in a bucket of `batch`."""
    unpadded = _best(pair, options, rows).tokens_per_second / rows
    padded = _best(pair, options, batch).tokens_per_second / batch
    return max(0.0, 1 - padded / unpadded)


def _bucket(pair: Pair, options: PlanOptions, low: int, batch: int) -> PlannedBucket:
    chosen = _best(pair, options, batch)
    served = range(low + 1, batch + 1)
    wastes = [_waste(pair, options, rows, batch) for rows in served]
    return PlannedBucket(
        batch=batch,
        widths=tuple(sorted({1, chosen.gamma + 1})),
        best=chosen,
        curve=tuple(curve(pair, options, batch)),
        memory=memory_of(pair, batch, chosen.gamma + 1),
        idle_rows=sum(1 - rows / batch for rows in served) / len(served),
        waste=sum(wastes) / len(wastes),
        worst_waste=max(wastes),
    )
