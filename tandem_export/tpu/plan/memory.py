"""Whether a batch fits a chip's memory, and what would."""

from __future__ import annotations

from dataclasses import dataclass

from tandem_export.config import TandemConfig
from tandem_export.errors import ConfigError
from tandem_export.tpu.chips import Slice, Storage
from tandem_export.tpu.plan.costs import Pair, pair_costs

# What a round that samples holds at once, in arrays `[B, V]` float32: logits of each place, what
# each draft was drawn from, the distributions of one place. The compiler reports for rounds of the
# presets 270m and 2b, batch 8 to 128, 5.0 to 6.1 of them at width 1, 9.1 at width 3, 10.0 at width
# 5, 11.0 at width 6. Small batches have up to 120 MB that do not grow.
_ARRAYS_A_PLACE = 2
_ARRAYS_MORE = 4
_LEAST = 128 * 2**20


class DoesNotFitError(ConfigError):
    """The pair does not fit the target; the text names what would."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes by part, on one chip.

    Attributes:
      weights: all of both models.
      primary_cache, drafter_cache: of the batch, and of the one row that is being prefilled.
      temporaries: of a round's sampling, an estimate.
    """

    weights: int
    primary_cache: int
    drafter_cache: int
    temporaries: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.primary_cache + self.drafter_cache + self.temporaries


def memory_of(pair: Pair, batch: int, width: int) -> Memory:
    """Returns what a round of `batch` rows at `width` holds."""
    rows = batch + 1
    arrays = _ARRAYS_A_PLACE * width + _ARRAYS_MORE
    return Memory(
        weights=int(pair.stored_bytes),
        primary_cache=int(rows * pair.primary.cache_bytes),
        drafter_cache=int(rows * pair.drafter.cache_bytes),
        temporaries=_LEAST + 4 * pair.vocab_size * batch * arrays,
    )


def largest_batch(pair: Pair, target: Slice, width: int, most: int) -> int:
    """Returns the largest batch up to `most` that fits at `width`; 0 if none does."""
    fitting = [b for b in range(1, most + 1) if _fits(pair, target, b, width)]
    return max(fitting, default=0)


def check_fits(
    config: TandemConfig, target: Slice, storage: Storage, cache: int, batch: int, width: int
) -> None:
    """Checks a bucket against the memory of `target`.

    Raises:
      DoesNotFitError: too large; the text names the largest batch, cache and the storage that fit.
    """
    pair = pair_costs(config, target, storage, cache)
    if _fits(pair, target, batch, width):
        return
    need = memory_of(pair, batch, width)
    raise DoesNotFitError(
        f"batch {batch} at width {width} with a cache of {cache} in {storage} needs "
        f"{_gib(need.total)} of the {_gib(target.hbm_bytes)} that a chip of {target.name} has "
        f"(weights {_gib(need.weights)}, caches {_gib(need.primary_cache + need.drafter_cache)}, "
        f"temporaries {_gib(need.temporaries)}). "
        f"What fits: {_what_fits(config, target, storage, cache, batch, width)}"
    )


def _fits(pair: Pair, target: Slice, batch: int, width: int) -> bool:
    return memory_of(pair, batch, width).total <= target.hbm_bytes


def _what_fits(
    config: TandemConfig, target: Slice, storage: Storage, cache: int, batch: int, width: int
) -> str:
    pair = pair_costs(config, target, storage, cache)
    rows = largest_batch(pair, target, width, batch)
    positions = _largest_cache(config, target, storage, cache, batch, width)
    small = _fits(pair_costs(config, target, "int8", cache), target, batch, width)
    ways = [
        f"batch {rows}" if rows else "no batch at this cache",
        f"a cache of {positions}" if positions else "no cache at this batch",
        "int8 weights" if small and storage != "int8" else "",
        "" if small or storage == "int8" else "int8 weights do not fit either",
    ]
    return "; ".join(way for way in ways if way) + ", or a target of more chips."


def _largest_cache(
    config: TandemConfig, target: Slice, storage: Storage, cache: int, batch: int, width: int
) -> int:
    """Returns the longest cache, in steps of 128 positions, that fits `batch`; 0 if none does."""
    unit = pair_costs(config, target, storage, 128)
    fixed = memory_of(unit, batch, width)
    per_step = fixed.primary_cache + fixed.drafter_cache
    room = target.hbm_bytes - fixed.weights - fixed.temporaries
    return max(0, min(int(room // per_step), cache // 128) * 128)


def _gib(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"
