"""Frozen configurations of the primary, the drafter, the router and the pair.

They hold only static values, which step functions may specialise on. Axis letters are `N` query
heads, `K` key/value heads, `H` head size, `D` width, `F` feed-forward width, `V` vocabulary, `L`
layers (`docs/reference/architecture.md`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, Literal

from tandem_export.errors import ConfigError
from tandem_export.jsontypes import Json, JsonObject

# Larger than any model's; what is larger still is a damaged file, and would take hours to refuse.
LARGEST = 2**26
DEEPEST = 2048


def _require(ok: bool, name: str, rule: str, got: object) -> None:
    if not ok:
        raise ConfigError(f"`{name}` must be {rule}. Got: {got!r}")


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary embedding, split-half layout.

    Attributes:
      theta: the base of the frequencies.
      local_theta: the base of sliding-window layers (Gemma 3); they are never scaled.
      scaling: `linear` divides positions by `factor`; `llama3` is the frequency-dependent rule of
        Llama 3.1 (arXiv 2407.21783, section 3.4.1 and the released configuration); `yarn` is that
        of arXiv 2309.00071, section 3.2; `dynamic` raises theta with the position ("NTK").
      factor: how many times longer the texts are than those of `original_positions`.
      low_freq_factor, high_freq_factor: where `llama3` begins and ends to scale.
      original_positions: of the training before the scaling; `llama3`, `yarn` and `dynamic` use it.
      beta_fast, beta_slow: turns within `original_positions`, between which `yarn` blends.
      round_band: whether `yarn` rounds the band of blended pairs outwards to whole pairs.
      attention_factor: on rotated queries and keys (`yarn`).
      rotary_size: how many of a head's values are rotated, the first ones; None is all.
    """

    theta: float = 10_000.0
    local_theta: float | None = None
    scaling: Literal["none", "linear", "llama3", "yarn", "dynamic"] = "none"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    round_band: bool = True
    attention_factor: float = 1.0
    rotary_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("theta", "attention_factor"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"rope.{name}", "positive", value)
        _require(
            self.local_theta is None or 0 < self.local_theta < math.inf,
            "rope.local_theta",
            "None or positive",
            self.local_theta,
        )
        _require(1 <= self.factor < math.inf, "rope.factor", "at least 1", self.factor)
        for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
            least, most = getattr(self, low), getattr(self, high)
            rule = f"above {low} = {least}, and that above 0"
            _require(0 < least < most < math.inf, f"rope.{high}", rule, most)
        kinds = ("none", "linear", "llama3", "yarn", "dynamic")
        _require(self.scaling in kinds, "rope.scaling", f"one of {kinds}", self.scaling)
        _require(
            1 <= self.original_positions <= LARGEST,
            "rope.original_positions",
            f"within 1 .. {LARGEST}",
            self.original_positions,
        )
        _require(
            self.scaling != "yarn" or self.theta > 1, "rope.theta", "above 1 for yarn", self.theta
        )
        _require(
            self.rotary_size is None or (self.rotary_size >= 2 and self.rotary_size % 2 == 0),
            "rope.rotary_size",
            "None, or even and at least 2",
            self.rotary_size,
        )


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """One decoder-only transformer of the Llama, Qwen or Gemma families.

    Attributes:
      query_scale: factor on q before the scores; None means head_size ** -0.5.
      norm_plus_one: RMSNorm multiplies by (1 + weight) (Gemma) instead of weight.
      post_norms: a second RMSNorm after attention and after the feed-forward (Gemma 2, 3).
      attention_softcap, logit_softcap: cap * tanh(x / cap), Gemma 2; None is off.
      sliding_window: how many positions a local layer sees, itself included; None is off.
      window_pattern: which layers are local, repeated over the depth: layer j is local when
        window_pattern[j % len(window_pattern)].
      embedding_scale: factor on the input embedding (Gemma: sqrt(D)).
    """

    vocab_size: int
    num_layers: int
    width: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    ff_size: int
    rope: RopeConfig = RopeConfig()
    norm_eps: float = 1e-6
    norm_plus_one: bool = False
    post_norms: bool = False
    qk_norm: bool = False
    activation: Literal["silu", "gelu_tanh"] = "silu"
    query_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    sliding_window: int | None = None
    window_pattern: tuple[bool, ...] = ()
    tied_embedding: bool = True
    embedding_scale: float = 1.0
    qkv_bias: bool = False
    output_bias: bool = False
    ff_bias: bool = False

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "num_layers",
            "width",
            "num_heads",
            "num_kv_heads",
            "head_size",
            "ff_size",
        ):
            value, most = getattr(self, name), DEEPEST if name == "num_layers" else LARGEST
            ok = isinstance(value, Integral) and 1 <= int(value) <= most
            _require(ok, name, f"within 1 .. {most}", value)
        _require(self.head_size % 2 == 0, "head_size", "even (rotary embedding)", self.head_size)
        _require(
            self.num_heads % self.num_kv_heads == 0,
            "num_heads",
            f"a multiple of num_kv_heads = {self.num_kv_heads}",
            self.num_heads,
        )
        rotary = self.rotary_size
        _require(rotary <= self.head_size, "rope.rotary_size", f"at most {self.head_size}", rotary)
        _require(
            self.rope.scaling != "dynamic" or rotary > 2,
            "rope.rotary_size",
            "above 2 with dynamic scaling",
            rotary,
        )
        kinds = ("silu", "gelu_tanh")
        _require(self.activation in kinds, "activation", f"one of {kinds}", self.activation)
        _require(
            self.sliding_window is None
            or (1 <= self.sliding_window <= LARGEST and any(self.window_pattern)),
            "sliding_window",
            "None, or at least 1 with a `window_pattern` that has a local layer",
            (self.sliding_window, self.window_pattern),
        )
        for name in ("attention_softcap", "logit_softcap", "query_scale"):
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, name, "None or positive", value)
        _require(0 <= self.norm_eps < math.inf, "norm_eps", "at least 0", self.norm_eps)
        scale = self.embedding_scale
        _require(0 < scale < math.inf, "embedding_scale", "positive", scale)

    @cached_property
    def scale(self) -> float:
        """The factor on q k^T."""
        return self.head_size**-0.5 if self.query_scale is None else self.query_scale

    @property
    def rotary_size(self) -> int:
        """How many of a head's values are rotated."""
        size = self.rope.rotary_size
        return self.head_size if size is None else size

    def is_local(self, layer: int) -> bool:
        """Returns whether `layer` attends within the sliding window only."""
        pattern = self.window_pattern
        return self.sliding_window is not None and pattern[layer % len(pattern)]

    def window(self, layer: int) -> int | None:
        """Returns how many positions `layer` sees, or None for all."""
        return self.sliding_window if self.is_local(layer) else None


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """The 2-layer MLP that decides after each drafted token (decision 5).

    `tau` is the checkpoint's default threshold: draft on while the predicted acceptance is >= tau.
    """

    top_k: int = 4
    hidden_size: int = 32
    tau: float = 0.8

    def __post_init__(self) -> None:
        _require(self.top_k >= 1, "router.top_k", "at least 1", self.top_k)
        _require(self.hidden_size >= 1, "router.hidden_size", "at least 1", self.hidden_size)
        _require(0 <= self.tau <= 1, "router.tau", "between 0 and 1", self.tau)


def default_layer_map(primary_layers: int, drafter_layers: int) -> tuple[int, ...]:
    """Spaces the layers evenly; the last one reads the primary's last output (decision 1)."""
    return tuple((j + 1) * primary_layers // drafter_layers for j in range(drafter_layers))


@dataclass(frozen=True, kw_only=True)
class TandemConfig:
    """A primary and its drafter.

    Attributes:
      kind: `tandem`: the drafter attends to projected primary rows; `independent`: it has its own
        view only (the SPEED + Distil baseline).
      drafter: its vocabulary may be smaller than the primary's; it then has the tensor
        `vocabulary.rows` (docs/reference/checkpoint.md).
      layer_map: for each drafter layer j, the primary activation x^{layer_map[j]} that feeds it:
        0 is the primary's input embedding, l in 1..L_primary the output of its l-th layer. Empty
        for an independent drafter.
    """

    primary: DecoderConfig
    drafter: DecoderConfig
    kind: Literal["tandem", "independent"] = "tandem"
    layer_map: tuple[int, ...] = ()
    router: RouterConfig | None = None

    def __post_init__(self) -> None:
        _require(self.kind in ("tandem", "independent"), "kind", "tandem or independent", self.kind)
        _require(
            self.drafter.vocab_size <= self.primary.vocab_size,
            "drafter.vocab_size",
            f"at most the primary's, {self.primary.vocab_size}",
            self.drafter.vocab_size,
        )
        want = self.drafter.num_layers if self.kind == "tandem" else 0
        _require(
            len(self.layer_map) == want,
            "layer_map",
            f"{want} entries, one per layer of a tandem drafter",
            self.layer_map,
        )
        last = self.primary.num_layers
        _require(
            all(0 <= entry <= last for entry in self.layer_map),
            "layer_map",
            f"within 0 (primary embedding) .. {last} (last primary layer)",
            self.layer_map,
        )
        _require(
            self.router is None or self.router.top_k <= self.drafter.vocab_size,
            "router.top_k",
            f"at most the vocabulary, {self.drafter.vocab_size}",
            self.router,
        )

    @property
    def is_reduced(self) -> bool:
        """Whether the drafter knows only some of the primary's tokens."""
        return self.drafter.vocab_size < self.primary.vocab_size

    @property
    def is_tandem(self) -> bool:
        """Whether the drafter attends to projected primary rows."""
        return self.kind == "tandem"


# Fields that came after the first checkpoints: they are left out where they have their defaults, so
# that readers without them read what they can compute.
_ADDED = ("beta_fast", "beta_slow", "round_band", "attention_factor", "rotary_size")
_LEFT_OUT = {
    field.name: field.default for field in dataclasses.fields(RopeConfig) if field.name in _ADDED
}


def to_dict(config: Any) -> JsonObject:
    """Returns a config as plain JSON values: every field but the `_ADDED` ones at defaults."""
    return dataclasses.asdict(config, dict_factory=_without_left_out)


def _without_left_out(pairs: list[tuple[str, Json]]) -> JsonObject:
    return {n: value for n, value in pairs if n not in _LEFT_OUT or value != _LEFT_OUT[n]}


def _build(cls: type, values: JsonObject, where: str, nested: dict[str, type]) -> Any:
    _require(isinstance(values, dict), where, "an object of named values", values)
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r} in `{where}`; known keys: {sorted(known)}")
    ready: JsonObject = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    for name, inner in nested.items():
        if ready.get(name) is not None:
            ready[name] = _build(inner, ready[name], f"{where}.{name}", _NESTED.get(inner, {}))
    try:
        return cls(**ready)
    except TypeError as error:
        raise ConfigError(f"`{where}`: {error}") from error


_NESTED: dict[type, dict[str, type]] = {
    DecoderConfig: {"rope": RopeConfig},
    TandemConfig: {"primary": DecoderConfig, "drafter": DecoderConfig, "router": RouterConfig},
}


def from_dict(values: JsonObject, where: str = "config") -> TandemConfig:
    """Returns the inverse of `to_dict` for a `TandemConfig`.

    Raises:
      ConfigError: an unknown or missing key, or a value that breaks a rule; the text names it.
    """
    return _build(TandemConfig, values, where, _NESTED[TandemConfig])
