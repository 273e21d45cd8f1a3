"""Describes what a build asks for: buckets, arithmetic, roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp

from tandem_export.contract import ROLES, Role
from tandem_export.errors import ConfigError
from tandem_export.kernels import check_support
from tandem_export.values import are_whole, are_words, is_whole

AttentionForm = Literal["in_cache", "two_part", "kernel"]
Parity = Literal["P0", "P1"]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The buckets of a bundle, and how its graphs compute.

    Attributes:
      batch: batch buckets B.
      gamma: gamma buckets G; 0, the primary alone at width 1, is always built.
      prompt: prefill chunk lengths T, and prompt buckets S of `generate`.
      cache: cache positions S.
      max_new: the longest answer of `generate`, tokens.
      generate_gamma: gamma of `generate`; None is the middle gamma bucket.
      dtype: of weights and activations in the graphs.
      quantize: `int8` stores every matrix of primary and drafter as int8 with a scale per output
        channel; `none` stores them in `dtype`.
      attention: `in_cache` writes a block's rows, then attends over the cache; `two_part` attends
        over old cache and new rows, then writes; `kernel` is `two_part` with a kernel for TPU,
        prefill excepted.
      least_rows: minimum number of rows in a matmul with weights, 1 or 2. With 2, a lone token is
        computed twice, because a TPU does not use its matrix unit for a one-row product.
      lossless: `exact`: every round of a graph has one width, G + 1 (parity P0 with `in_cache`);
        `numeric`: a round verifies at the smallest of `widths` that holds its longest draft (P1).
      roles: which graphs are built; empty is every role that the pair and the cache allow.
      platforms: what each graph is lowered for.
    """

    batch: tuple[int, ...] = (1, 4)
    gamma: tuple[int, ...] = (1, 3, 5, 8)
    prompt: tuple[int, ...] = (64, 256)
    cache: int = 512
    max_new: int = 128
    generate_gamma: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    quantize: Literal["none", "int8"] = "none"
    attention: AttentionForm = "in_cache"
    least_rows: Literal[1, 2] = 1
    lossless: Literal["exact", "numeric"] = "exact"
    roles: tuple[Role, ...] = ()
    platforms: tuple[str, ...] = ("cpu", "tpu")

    def __post_init__(self) -> None:
        for name, low in (("batch", 1), ("gamma", 1), ("prompt", 2), ("platforms", None)):
            values = getattr(self, name)
            ok = are_words(values) if low is None else are_whole(values, low)
            if not (ok and values and tuple(sorted(set(values))) == values):
                rule = f"increasing, distinct and at least {low}" if low else "sorted, not empty"
                raise ConfigError(f"`{name}` must be {rule}. Got: {values!r}")
        self._check_lengths()
        room = max(self.prompt[-1], self.gamma[-1] + 1)
        if not is_whole(self.cache, room):
            rule = f"at least the longest prompt bucket and block, {room}"
            raise ConfigError(f"`cache` must be {rule}. Got: {self.cache!r}")
        for name, kinds in (
            ("dtype", ("float32", "bfloat16")),
            ("quantize", ("none", "int8")),
            ("attention", get_args(AttentionForm)),
            ("least_rows", (1, 2)),
            ("lossless", ("exact", "numeric")),
        ):
            if getattr(self, name) not in kinds:
                raise ConfigError(f"`{name}` must be one of {kinds}. Got: {getattr(self, name)!r}")
        if self.attention == "kernel" and "tpu" in self.platforms:
            check_support(self.cache, jnp.dtype(self.dtype))
        if not are_words(self.roles):
            raise ConfigError(f"`roles` must be from {ROLES}. Got: {self.roles!r}")
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown:
            raise ConfigError(f"`roles` must be from {ROLES}. Got: {unknown[0]!r}")

    def _check_lengths(self) -> None:
        for name in ("max_new", "generate_gamma"):
            value = getattr(self, name)
            if not (is_whole(value, 1) or (name == "generate_gamma" and value is None)):
                raise ConfigError(f"`{name}` must be at least 1. Got: {value!r}")

    @property
    def wanted_roles(self) -> tuple[Role, ...]:
        """The roles of `roles`, or all of them."""
        return self.roles or ROLES

    def room_of_generate(self, width: int) -> int:
        """Returns the cache positions that `generate` needs for prompts of `width` tokens."""
        return width + self.max_new + self.gamma_of_generate

    @property
    def gamma_of_generate(self) -> int:
        """The block length that `generate` is built with."""
        return self.generate_gamma or self.gamma[len(self.gamma) // 2]

    @property
    def prefill_attention(self) -> AttentionForm:
        """The attention form of prefill: the kernel is for blocks much shorter than the cache."""
        return "two_part" if self.attention == "kernel" else self.attention

    @property
    def parity(self) -> Parity:
        """The level that a bundle of these options can claim."""
        exact = self.lossless == "exact" and self.attention == "in_cache"
        return "P0" if exact else "P1"

    def widths(self, gamma: int) -> tuple[int, ...]:
        """Returns the verification widths that a round of this gamma may choose from."""
        if self.lossless == "exact":
            return (gamma + 1,)
        return tuple(sorted({1, *(g + 1 for g in self.gamma if g < gamma), gamma + 1}))
