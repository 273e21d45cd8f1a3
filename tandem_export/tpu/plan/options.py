"""What a plan is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from tandem_export.errors import ConfigError
from tandem_export.tpu.chips import BYTES, SLICES, Slice, Storage
from tandem_export.tpu.plan.acceptance import Acceptance, from_rate


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The target and the wishes.

    Attributes:
      target: the slice of chips.
      cache: positions of a row's cache, prompt and answer together.
      acceptance: how many drafts are expected to be accepted.
      storage: of the weights.
      batch: batch buckets to plan; empty lets the planner choose.
      gamma_max: the longest draft that is considered.
      max_waste: the largest share of tokens per second that padding to the next batch bucket may
        cost, before a bucket of its own is made.
      drafter_cost: a drafter step over a primary's step of width 1, where it was measured; None is
        the roofline's.
    """

    target: Slice = field(default_factory=lambda: SLICES["v5e-1"])
    cache: int = 2048
    acceptance: Acceptance = field(default_factory=lambda: from_rate(0.8))
    storage: Storage = "bfloat16"
    batch: tuple[int, ...] = ()
    gamma_max: int = 16
    max_waste: float = 0.1
    drafter_cost: float | None = None

    def __post_init__(self) -> None:
        if self.storage not in BYTES:
            raise ConfigError(f"`storage` must be one of {tuple(BYTES)}. Got: {self.storage!r}")
        rows = self.target.balance(self.storage)
        for name, ok, rule in (
            ("cache", self.cache >= 128 and self.cache % 128 == 0, "a multiple of 128"),
            (
                "batch",
                list(self.batch) == sorted({b for b in self.batch if 1 <= b <= rows}),
                f"increasing, distinct, within 1 .. {rows} rows",
            ),
            ("gamma_max", 1 <= self.gamma_max < self.cache, "at least 1 and below the cache"),
            ("max_waste", 0 <= self.max_waste < 1, "at least 0 and below 1"),
            (
                "drafter_cost",
                self.drafter_cost is None or self.drafter_cost > 0,
                "None or positive",
            ),
        ):
            if not ok:
                raise ConfigError(f"`{name}` must be {rule}. Got: {getattr(self, name)!r}")
