"""Names the state of a graph: key/value caches and row registers, and where else they appear.

primary_k.00          a cache, [B, K, S, H]: keys of the primary's layer 0
position              a register, [B] int32
prefix.primary_k.00   an input of `insert`: one prefilled row of the state array
rows.primary_k.00     an output of a step in the `rows` contract: a block's [B, K, T, H]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, get_args

ModelName = Literal["primary", "drafter"]
MODELS: tuple[ModelName, ...] = get_args(ModelName)


class Register(StrEnum):
    """A row's registers, `[B]` int32 each."""

    BUDGET = "budget"  # tokens that the row may still commit; 0 is an idle row
    LAST = "last"  # the last committed token, which the primary has not processed yet
    POSITION = "position"  # how many tokens the primary has processed, the index of `last`
    PREVIOUS = "previous"  # the token before `last`


REGISTERS: tuple[str, ...] = tuple(register.value for register in Register)
_PREFIX, _ROWS = "prefix.", "rows."
_CACHE = re.compile(rf"({'|'.join(MODELS)})_([kv])\.(\d+)")


class CacheName(NamedTuple):
    """A cache's name taken apart.

    Attributes:
      model: whose cache it is.
      kind: `k` for keys, `v` for values.
      layer: the layer's number, from 0.
    """

    model: ModelName
    kind: Literal["k", "v"]
    layer: int

    def __str__(self) -> str:
        """Returns the name, such as `primary_k.00`."""
        return f"{self.model}_{self.kind}.{self.layer:02}"


class _Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


def parse_cache_name(name: str) -> CacheName | None:
    """Takes a cache's name apart; returns None for any other name."""
    match = _CACHE.fullmatch(name)
    if match is None:
        return None
    model, kind, layer = match.groups()
    return CacheName(model, kind, int(layer))  # type: ignore[arg-type]


def is_cache(name: str) -> bool:
    """Returns whether `name` is that of a cache."""
    return _CACHE.fullmatch(name) is not None


def cache_names(model: ModelName, layers: int) -> list[tuple[str, str]]:
    """Returns the names of a model's key and value caches, a pair for each layer."""
    return [(str(CacheName(model, "k", j)), str(CacheName(model, "v", j))) for j in range(layers)]


def cache_length(state: Mapping[str, _Shaped]) -> int:
    """Returns the cache positions S of a state.

    Raises:
      ValueError: the state has no cache.
    """
    lengths = [leaf.shape[2] for name, leaf in state.items() if is_cache(name)]
    if not lengths:
        raise ValueError(f"`state` must hold a cache. Got: {sorted(state)}")
    return lengths[0]


def prefix_name(name: str) -> str:
    """Returns the input of `insert` that holds one row of the state array `name`."""
    return _PREFIX + name


def is_prefix(name: str) -> bool:
    """Returns whether `name` is an input of `insert` that holds a row of the state."""
    return name.startswith(_PREFIX)


def without_prefix(names: Iterable[str]) -> list[str]:
    """Returns the state names of those of `names` that are rows for `insert`."""
    return [name.removeprefix(_PREFIX) for name in names if is_prefix(name)]


def rows_name(name: str) -> str:
    """Returns the output that holds the new rows of the cache `name`."""
    return _ROWS + name


def is_rows(name: str) -> bool:
    """Returns whether `name` is an output that holds new rows of a cache."""
    return name.startswith(_ROWS)


def without_rows(names: Iterable[str]) -> list[str]:
    """Returns the cache names of those of `names` that are outputs with new rows."""
    return [name.removeprefix(_ROWS) for name in names if is_rows(name)]
