"""The decoder once more: one sequence, plain loops, float64, no code shared with the package."""

from __future__ import annotations

import math

import numpy as np

from tandem_export.config import DecoderConfig, RopeConfig


def llama3_frequency(freq: float, rope: RopeConfig) -> float:
    """The published rule, case by case."""
    wavelength = 2 * math.pi / freq
    if wavelength < rope.original_positions / rope.high_freq_factor:
        return freq
    if wavelength > rope.original_positions / rope.low_freq_factor:
        return freq / rope.factor
    smooth = (rope.original_positions / wavelength - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    return (1 - smooth) * freq / rope.factor + smooth * freq


def yarn_frequency(freq: float, pair: int, size: int, rope: RopeConfig) -> float:
    """The published rule for one pair: gamma(r) of its turns r, as the authors' code rounds it."""

    def pair_of(turns: float) -> float:
        return size * math.log(rope.original_positions / (turns * 2 * math.pi), rope.theta) / 2

    low, high = pair_of(rope.beta_fast), pair_of(rope.beta_slow)
    if rope.round_band:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    if pair <= low:
        return freq
    if pair >= high:
        return freq / rope.factor
    ramp = (pair - low) / (high - low)
    return ramp * freq / rope.factor + (1 - ramp) * freq


def frequencies(size: int, rope: RopeConfig, local: bool, position: int = 0) -> list[float]:
    """Radians per position, one for each pair; `dynamic` ones depend on the position."""
    if local and rope.local_theta is not None:
        return [rope.local_theta ** (-2 * i / size) for i in range(size // 2)]
    theta = rope.theta
    if rope.scaling == "dynamic" and position >= rope.original_positions:
        longer = rope.factor * (position + 1) / rope.original_positions - (rope.factor - 1)
        theta *= longer ** (size / (size - 2))
    plain = [theta ** (-2 * i / size) for i in range(size // 2)]
    if rope.scaling == "linear":
        return [freq / rope.factor for freq in plain]
    if rope.scaling == "llama3":
        return [llama3_frequency(freq, rope) for freq in plain]
    if rope.scaling == "yarn":
        return [yarn_frequency(freq, i, size, rope) for i, freq in enumerate(plain)]
    return plain


def rotate_head(x: np.ndarray, position: int, config: DecoderConfig, local: bool) -> np.ndarray:
    """One head `[H]`: its first `rotary_size` values are rotated, the others stay."""
    size = config.rope.rotary_size or len(x)
    freq = frequencies(size, config.rope, local, position)
    turned = rotate(x[:size], position, freq) * config.rope.attention_factor
    return np.concatenate([turned, x[size:]])


def rotate(x: np.ndarray, position: int, freq: list[float]) -> np.ndarray:
    """One head `[H]`: pair i is the complex number x[i] + x[i + H/2] j, turned."""
    half = len(x) // 2
    turned = (x[:half] + 1j * x[half:]) * np.exp(1j * position * np.array(freq))
    return np.concatenate([turned.real, turned.imag])


def rms_norm(x: np.ndarray, weight: np.ndarray, config: DecoderConfig) -> np.ndarray:
    """One row `[D]`."""
    gain = 1 + weight if config.norm_plus_one else weight
    return x / math.sqrt((x * x).mean() + config.norm_eps) * gain


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    visible: np.ndarray,
    scale: float,
    cap: float | None,
) -> np.ndarray:
    """`q [T, N, H]` over `k, v [S, K, H]` where `visible [T, S]`, one token and head at a time."""
    out = np.zeros(q.shape)
    for t, n in np.ndindex(q.shape[:2]):
        head = n // (q.shape[1] // k.shape[1])
        seen = np.flatnonzero(visible[t])
        score = np.array([q[t, n] @ k[s, head] * scale for s in seen])
        score = score if cap is None else cap * np.tanh(score / cap)
        weight = np.exp(score - score.max())
        for share, s in zip(weight / weight.sum(), seen, strict=True):
            out[t, n] += share * v[s, head]
    return out


def _linear(x: np.ndarray, params: dict, name: str) -> np.ndarray:
    return x @ params[f"{name}.weight"] + params.get(f"{name}.bias", 0.0)


def _norm(x: np.ndarray, params: dict, name: str, config: DecoderConfig) -> np.ndarray:
    return np.stack([rms_norm(row, params[f"{name}.weight"], config) for row in x])


def heads(x: np.ndarray, params: dict, layer: int, kind: str, config: DecoderConfig) -> np.ndarray:
    """Queries, keys or values `[T, heads, H]` of layer input `x [T, D]` at positions 0..T-1."""
    name = f"layers.{layer}.attention"
    h = _norm(x, params, f"layers.{layer}.attention_norm", config)
    out = _linear(h, params, f"{name}.{kind}").reshape(len(x), -1, config.head_size)
    if kind == "v":
        return out
    for t, n in np.ndindex(out.shape[:2]):
        if config.qk_norm:
            out[t, n] = rms_norm(out[t, n], params[f"{name}.{kind}_norm.weight"], config)
        out[t, n] = rotate_head(out[t, n], t, config, config.is_local(layer))
    return out


def _visible(length: int, layer: int, config: DecoderConfig) -> np.ndarray:
    seen = np.tril(np.ones((length, length), bool))
    if (
        config.sliding_window is None
        or not config.window_pattern[layer % len(config.window_pattern)]
    ):
        return seen
    return seen & ~np.tril(seen, -config.sliding_window)


def _activate(x: np.ndarray, config: DecoderConfig) -> np.ndarray:
    if config.activation == "silu":
        return x / (1 + np.exp(-x))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def layer_output(x: np.ndarray, params: dict, layer: int, config: DecoderConfig) -> np.ndarray:
    """One layer over `x [T, D]`."""
    name = f"layers.{layer}"
    q, k, v = (heads(x, params, layer, kind, config) for kind in "qkv")
    scale = config.query_scale or config.head_size**-0.5
    mixed = attention(q, k, v, _visible(len(x), layer, config), scale, config.attention_softcap)
    out = _linear(mixed.reshape(len(x), -1), params, f"{name}.attention.o")
    if config.post_norms:
        out = _norm(out, params, f"{name}.attention_post_norm", config)
    x = x + out
    h = _norm(x, params, f"{name}.ff_norm", config)
    gate = _activate(_linear(h, params, f"{name}.ff.gate"), config)
    out = _linear(gate * _linear(h, params, f"{name}.ff.up"), params, f"{name}.ff.down")
    return x + (_norm(out, params, f"{name}.ff_post_norm", config) if config.post_norms else out)


def decode(
    config: DecoderConfig, params: dict, tokens: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits `[T, V]` and the L + 1 activations `[T, D]` of one sequence of token ids."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    activations = [params["embedding.weight"][tokens] * config.embedding_scale]
    for layer in range(config.num_layers):
        activations.append(layer_output(activations[-1], params, layer, config))
    h = _norm(activations[-1], params, "final_norm", config)
    head = params["embedding.weight"].T if config.tied_embedding else params["head.weight"]
    cap = config.logit_softcap
    return (h @ head if cap is None else cap * np.tanh(h @ head / cap)), activations
