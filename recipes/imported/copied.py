"""The primary's layers over a narrower residual stream.

The stream x is written as u = x P, P the directions that the drafter keeps. Where P holds nearly
all of x, both are equally long, so RMSNorm makes norm(u) = sqrt(w / D) norm(x) P of it, w and D
being the widths. A matrix that reads norm(x) * g through W then reads norm(u) through
sqrt(D / w) P^T diag(g) W, and one that writes y writes y P.
"""

from __future__ import annotations

import numpy as np

from recipes.stdlib_mini.drafters import strongest_neurons
from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.model import Params

_READS = {
    "attention.q.weight": "attention_norm",
    "attention.k.weight": "attention_norm",
    "attention.v.weight": "attention_norm",
    "ff.gate.weight": "ff_norm",
    "ff.up.weight": "ff_norm",
}
_WRITES = ("attention.o.weight", "attention.o.bias", "ff.down.weight")
_NORMS = ("attention_norm.weight", "ff_norm.weight")


def copied_layers(config: TandemConfig, primary: Params, turn: np.ndarray) -> Params:
    """The tensors of a drafter's layers and its final norm.

    Args:
      config: the pair; its layer map names the layers that are copied.
      primary: the primary's tensors.
      turn: the directions P, `[D, w]`.

    Raises:
      ValueError: the primary has norms behind its layers, or biases in its feed-forward.
    """
    big, small = config.primary, config.drafter
    if big.post_norms or big.ff_bias:
        kind = "post-norms" if big.post_norms else "biases in their feed-forward"
        raise ValueError(f"layers with {kind} cannot be copied narrower. Use --start random.")
    params: Params = {"final_norm.weight": _diagonal(_norm(big, primary, "final_norm"), turn)}
    for j, source in enumerate(config.layer_map):
        prefix = f"layers.{source}."
        layer = {
            name.removeprefix(prefix): np.asarray(value, np.float32)
            for name, value in primary.items()
            if name.startswith(prefix)
        }
        layer |= strongest_neurons(layer, small.ff_size)
        params |= {f"layers.{j}.{n}": v for n, v in _turned(big, layer, turn).items()}
    return params


def _norm(config: DecoderConfig, params: Params, name: str) -> np.ndarray:
    weight = np.asarray(params[f"{name}.weight"], np.float32)
    return 1 + weight if config.norm_plus_one else weight


def _turned(config: DecoderConfig, layer: Params, turn: np.ndarray) -> Params:
    scale, out = _scale(turn), {}
    for name, value in layer.items():
        if name in _READS:
            g = _norm(config, layer, _READS[name])
            out[name] = scale * (turn.T @ (g[:, None] * value))
        elif name in _NORMS:
            out[name] = np.ones(turn.shape[1], np.float32)
        elif name in _WRITES:
            out[name] = value @ turn
        elif name.endswith("_norm.weight"):  # of heads
            out[name] = _norm(config, layer, name.removesuffix(".weight"))
        else:
            out[name] = value
    return out


def _diagonal(g: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The final norm's weights in the new directions, as near as a diagonal comes."""
    return _scale(turn) * np.einsum("dw,d,dw->w", turn, g, turn)


def _scale(turn: np.ndarray) -> np.float32:
    big, small = turn.shape
    return np.float32((big / small) ** 0.5)
