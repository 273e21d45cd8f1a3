"""What the drafter learns from the frozen primary, computed once and kept on disk.

A shard holds, for some windows: the primary's activations that the layer map names (float16), and
the largest probabilities among the tokens that the drafter keeps. A run that was interrupted goes
on with the first shard that is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from recipes.imported.text import WINDOW, as_rows
from recipes.stdlib_mini.losses import primary_pass
from tandem_export.config import TandemConfig
from tandem_export.model import Params

TOP = 32
SHARD = 16  # windows
Shard = dict[str, np.ndarray]


def compute(
    config: TandemConfig,
    primary: Params,
    windows: np.ndarray,
    kept: np.ndarray,
    folder: Path,
    report: Callable[[int, int], None],
) -> list[Path]:
    """Writes the shards that are missing and returns all of them, in order.

    Args:
      config: the pair; its layer map says which activations are kept.
      primary: the frozen parameters.
      windows: `[N, WINDOW + 1]` token ids.
      kept: the drafter's tokens, sorted.
      folder: of the cache.
      report: called with windows done and in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = jax.jit(lambda params, tokens, kept: _features(config, params, tokens, kept))
    paths = []
    for at in range(0, len(windows), SHARD):
        path = folder / f"{at // SHARD:05}.npz"
        if not path.exists():
            own = windows[at : at + SHARD]
            rows = [run(primary, jnp.asarray(w[None, :-1]), jnp.asarray(kept)) for w in own]
            _write(path, _shard(own, rows, kept, config.primary.vocab_size))
        paths.append(path)
        report(min(at + SHARD, len(windows)), len(windows))
    return paths


def _features(
    config: TandemConfig, params: Params, tokens: jax.Array, kept: jax.Array
) -> dict[str, jax.Array]:
    logits, run = primary_pass(config, params, tokens)
    # Of the whole vocabulary, so that what the drafter lacks keeps its share.
    p = jax.nn.softmax(logits, -1)[:, kept]
    top_p, top_row = jax.lax.top_k(p, min(TOP, p.shape[-1]))
    wanted = sorted(set(config.layer_map))
    out = {f"x{level}": run.activations[level] for level in wanted}
    return out | {"top_p": top_p, "top_row": top_row}


def _shard(windows: np.ndarray, rows: list[dict], kept: np.ndarray, vocabulary: int) -> Shard:
    whole = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}
    # Activations of large models pass float16's range: each level is divided by its own scale.
    halved = {}
    for name, value in whole.items():
        if name.startswith("x"):
            scale = np.float32(max(np.abs(value).max() / 1e4, 1e-6))
            halved |= {name: (value / scale).astype(np.float16), f"{name}_scale": scale}
    return halved | {
        "rows": as_rows(windows, kept, vocabulary),
        "known": np.isin(windows[:, 1:], kept),
        "top_p": whole["top_p"].astype(np.float16),
        "top_row": whole["top_row"].astype(np.int32),
    }


def _write(path: Path, shard: Shard) -> None:
    """Under another name first: a shard that is there is whole."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **shard)  # pyright: ignore[reportArgumentType]
    os.replace(part, path)


class Features:
    """The shards of one cache as batches of training windows, read as they are drawn."""

    def __init__(self, paths: list[Path], levels: tuple[int, ...]) -> None:
        self._paths, self._levels = paths, sorted(set(levels))

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> dict[str, np.ndarray]:
        """`rows` windows of `length` tokens out of one shard, each from a place of its own.

        Returns:
          `tokens` `[B, T + 1]` drafter rows, `known` `[B, T]` whether the label is one of its
          tokens, `x{level}` `[B * T, D]` float32, `top_p` and `top_row` `[B * T, TOP]`.
        """
        shard = np.load(self._paths[int(rng.integers(len(self._paths)))])
        count = len(shard["rows"])
        chosen = rng.choice(count, rows, replace=rows > count)
        starts = rng.integers(0, WINDOW - length + 1, rows)
        return self._cut(shard, chosen, starts, length)

    def whole(self) -> list[dict[str, np.ndarray]]:
        """Every window of every shard, a shard at a time."""
        shards = [np.load(path) for path in self._paths]
        return [self._cut(s, n := np.arange(len(s["rows"])), 0 * n, WINDOW) for s in shards]

    def _cut(
        self, shard: Shard, chosen: np.ndarray, starts: np.ndarray, length: int
    ) -> dict[str, np.ndarray]:
        span = starts[:, None] + np.arange(length + 1)
        at, inner = chosen[:, None], span[:, :-1]
        out = {"tokens": shard["rows"][at, span], "known": shard["known"][at, inner]}
        for name in ("top_p", "top_row"):
            flat = shard[name][at, inner].reshape(len(chosen) * length, -1)
            out[name] = flat.astype(np.float32) if name == "top_p" else flat
        for level in self._levels:
            values = shard[f"x{level}"][at, inner].astype(np.float32) * shard[f"x{level}_scale"]
            out[f"x{level}"] = values.reshape(len(chosen) * length, -1)
        return out
