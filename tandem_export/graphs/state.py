"""Gives a graph's flat arrays their types: registers, caches and sampling inputs, as pytrees.

A graph takes and returns flat dicts by name, because that is what exports can name. Inside, its
functions pass these records; `read` and `named` convert at the border.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float, Int, UInt32

from tandem_export.contract import (
    MODELS,
    SAMPLING_INPUTS,
    ModelName,
    cache_names,
    parse_cache_name,
)
from tandem_export.graphs.graph import Arrays

# Keys and values of one layer, and of every layer.
LayerCache = tuple[Float[Array, "B K S H"], Float[Array, "B K S H"]]
Cache = list[LayerCache]


class Registers(NamedTuple):
    """Where each row stands.

    Attributes:
      budget: `[B]` int32, tokens that the row may still commit; 0 is an idle row.
      last: `[B]` int32, the last committed token, which the primary has not processed yet.
      position: `[B]` int32, tokens that the primary has processed, the index of `last`.
      previous: `[B]` int32, the token before `last`.
    """

    budget: Int[Array, " B"]
    last: Int[Array, " B"]
    position: Int[Array, " B"]
    previous: Int[Array, " B"]

    @classmethod
    def read(cls, state: Arrays) -> Registers:
        """Returns the registers of a flat state."""
        return cls(*(state[name] for name in cls._fields))


class Caches(NamedTuple):
    """The key/value caches of both models, `[B, K, S, H]` each; [] for a model without a cache."""

    primary: Cache
    drafter: Cache

    @classmethod
    def read(cls, state: Arrays) -> Caches:
        """Returns the caches of a flat state."""
        return cls(*(read_cache(state, model) for model in MODELS))

    def named(self) -> Arrays:
        """Returns the caches as flat arrays."""
        return name_cache("primary", self.primary) | name_cache("drafter", self.drafter)


class State(NamedTuple):
    """All that a round reads and writes."""

    registers: Registers
    caches: Caches

    @classmethod
    def read(cls, state: Arrays) -> State:
        """Returns the parts of a flat state."""
        return cls(Registers.read(state), Caches.read(state))

    def named(self) -> Arrays:
        """Returns the state as flat arrays."""
        return self.registers._asdict() | self.caches.named()


class Sampling(NamedTuple):
    """The per-row inputs of a round; `contract.SAMPLING_INPUTS` says what each means.

    `tau` is an input of rounds with a router alone.
    """

    temperature: Float[Array, " B"]
    top_k: Int[Array, " B"]
    top_p: Float[Array, " B"]
    min_p: Float[Array, " B"]
    seed: UInt32[Array, "B 2"]
    rule: Int[Array, " B"]
    max_draft: Int[Array, " B"]
    tau: Float[Array, " B"] | None = None

    @classmethod
    def read(cls, inputs: Arrays) -> Sampling:
        """Returns the sampling inputs of a graph's inputs."""
        return cls(**{name: inputs[name] for name in SAMPLING_INPUTS if name in inputs})


class Block(NamedTuple):
    """A block of tokens to process.

    Attributes:
      tokens: `[B, T]` int32.
      start: `[B]` int32, the index of each row's first token in its sequence.
    """

    tokens: Int[Array, "B T"]
    start: Int[Array, " B"]

    @classmethod
    def read(cls, inputs: Arrays) -> Block:
        """Returns the block of a graph's inputs."""
        return cls(inputs["tokens"], inputs["start"])


def read_cache(state: Arrays, model: ModelName) -> Cache:
    """Returns one model's cache out of a flat state."""
    parsed = [parse_cache_name(name) for name in state]
    layers = sum(name is not None and name[:2] == (model, "k") for name in parsed)
    return [(state[k], state[v]) for k, v in cache_names(model, layers)]


def name_cache(model: ModelName, cache: Cache) -> Arrays:
    """Returns one model's cache, or the new rows of it, as flat arrays."""
    names = cache_names(model, len(cache))
    return {
        name: array
        for pair, arrays in zip(names, cache, strict=True)
        for name, array in zip(pair, arrays, strict=True)
    }
