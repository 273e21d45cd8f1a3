"""What one run of a model must move and compute: the roofline.

Every count is of one chip. Weights are read once a run, the static cache once over its whole length
(the graphs attend over all of it, masked), the vocabulary table for the embedding by rows only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.model import scale_shape, shapes
from tandem_export.sharding import split_axis, splits_heads
from tandem_export.tpu.chips import BYTES, Slice, Storage

# What the primary's block reads of the drafter: projections, and its layers' keys and values.
_PREFIX = ("projection.", "attention.k.", "attention.v.", "attention_norm.")


# Name, shape, how many of it.
Named = tuple[str, tuple[int, ...], int]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model's run over a block, on one chip.

    Attributes:
      weight_bytes: read once a run.
      weight_flops: of the matmuls, for each row of the block.
      cache_bytes: of one batch row's cache, keys and values of all layers.
      attention_flops: for each row of the block.
    """

    weight_bytes: float
    weight_flops: float
    cache_bytes: float
    attention_flops: float

    def bytes(self, batch: int) -> float:
        """Returns HBM bytes of a run over `batch` rows."""
        return self.weight_bytes + batch * self.cache_bytes

    def flops(self, batch: int, width: int) -> float:
        """Operations of a run over `batch * width` rows."""
        return batch * width * (self.weight_flops + self.attention_flops)

    def seconds(self, target: Slice, batch: int, width: int) -> float:
        """Returns the roofline: no run is faster than its bytes, nor than its operations."""
        memory = self.bytes(batch) / target.bandwidth
        return max(memory, self.flops(batch, width) / target.flops)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a pair costs on one chip of a target.

    Attributes:
      stored_bytes: all weights as they lie in memory.
      primary: a block of the primary, with the drafter's prefix rows where the pair is tandem.
      drafter: a step of the drafter.
      vocab_size: V, for the temporaries.
    """

    stored_bytes: float
    primary: Run
    drafter: Run
    vocab_size: int

    @property
    def cache_bytes(self) -> float:
        """Both caches of one batch row."""
        return self.primary.cache_bytes + self.drafter.cache_bytes


def pair_costs(config: TandemConfig, target: Slice, storage: Storage, cache: int) -> Pair:
    """Returns the costs of `config` with a cache of `cache` positions."""
    chips = target.chips
    primary = [_tensor(config.primary, t, chips, storage) for t in _tensors(config, "primary")]
    drafter = [_tensor(config.drafter, t, chips, storage) for t in _tensors(config, "drafter")]
    prefix = [t for t in drafter if any(p in t.name for p in _PREFIX)] if config.is_tandem else []
    layers = [t for t in drafter if not t.name.startswith("projection.")]
    return Pair(
        stored_bytes=sum(t.bytes for t in primary + drafter),
        primary=_run(_read(primary) + prefix, config.primary, cache, chips),
        drafter=_run(_read(layers), config.drafter, cache, chips),
        vocab_size=config.primary.vocab_size,
    )


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """One name's tensors of all layers: bytes and matmul operations a row, on one chip."""

    name: str
    bytes: float
    flops: float


def _tensor(config: DecoderConfig, tensor: Named, chips: int, storage: Storage) -> _Tensor:
    """Returns stored and read bytes of one name; an int8 matrix has a scale per output channel."""
    name, shape, count = tensor
    split = split_axis(name, shape, config, chips) is not None
    share = count / (chips if split else 1)
    each = share * math.prod(shape)
    matrix = len(shape) == 2
    size = each * (BYTES[storage] if matrix else BYTES["bfloat16"])
    if matrix and storage == "int8":
        size += share * BYTES["bfloat16"] * math.prod(scale_shape(name, shape))
    return _Tensor(name=name, bytes=size, flops=2 * each if matrix else 0.0)


def _read(tensors: list[_Tensor]) -> list[_Tensor]:
    """Leaves out the table that only embeds: a run reads a few of its rows."""
    untied = any(t.name == "head.weight" for t in tensors)
    return [t for t in tensors if not (untied and t.name.startswith("embedding."))]


def _run(read: list[_Tensor], config: DecoderConfig, cache: int, chips: int) -> Run:
    L, N, K, H = config.num_layers, config.num_heads, config.num_kv_heads, config.head_size
    split = chips if splits_heads(config, chips) else 1
    return Run(
        weight_bytes=sum(t.bytes for t in read),
        weight_flops=sum(t.flops for t in read),
        cache_bytes=2 * L * K * H * cache * BYTES["bfloat16"] / split,
        attention_flops=4 * L * N * H * cache / split,
    )


def _tensors(config: TandemConfig, part: str) -> Iterator[Named]:
    """Yields name, shape and count of each of a part's tensors.

    Layers are alike, so one is made and counted: a deep model's take seconds to list.
    """
    depth = getattr(config, part).num_layers
    for name, shape in shapes(_flat(config), part).items():
        yield name, shape, depth if name.startswith(("layers.", "projection.")) else 1


@cache
def _flat(config: TandemConfig) -> TandemConfig:
    """Returns the pair with one layer in each decoder."""
    one = [dataclasses.replace(c, num_layers=1) for c in (config.primary, config.drafter)]
    layers = (1,) if config.is_tandem else ()
    return dataclasses.replace(config, primary=one[0], drafter=one[1], layer_map=layers)
