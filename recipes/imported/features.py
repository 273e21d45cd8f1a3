"""What the drafter learns from the frozen primary, computed once and kept on disk.

A shard is a folder of arrays for some texts, all positions one after the other: the activations
that the layer map names (float16), and the primary's largest probabilities. It does not depend on
the tokens that the drafter keeps. A run that was interrupted goes on with the first shard that is
missing, and more texts add shards.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from recipes.imported.text import Text
from recipes.stdlib_mini.losses import primary_pass
from tandem_export.config import TandemConfig
from tandem_export.model import Params
from tandem_export.progress import Progress

TOP = 64
SHARD = 32  # texts
_STEP = 64  # tokens: texts are padded to a multiple, so that few lengths are compiled
Shard = dict[str, np.ndarray]


def compute(
    config: TandemConfig,
    primary: Params,
    texts: Sequence[Text],
    folder: Path,
    progress: Progress,
) -> list[Path]:
    """Writes the shards that are missing and returns all of them, in order.

    Args:
      config: the pair; its layer map says which activations are kept.
      primary: the frozen parameters.
      texts: a longer list that begins with the same texts only adds to an earlier one.
      folder: of the cache; another layer map or another primary needs another one.
      progress: called after each shard, with texts done and in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = jax.jit(lambda params, tokens: _features(config, params, tokens))
    paths = []
    for at in range(0, len(texts), SHARD):
        part = texts[at : at + SHARD]
        path = folder / f"{at // SHARD:05}-{_digest(part)}"
        if not path.exists():
            for stale in folder.glob(f"{at // SHARD:05}-*"):  # the last one, which has grown
                shutil.rmtree(stale)
            _write(path, _shard(part, [_run(run, primary, text) for text in part]))
        paths.append(path)
        progress(min(at + SHARD, len(texts)), len(texts), f"features: {folder.name}")
    return paths


def _digest(texts: Sequence[Text]) -> str:
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(text.tokens.tobytes() + text.first.to_bytes(4, "little"))
    return hashed.hexdigest()[:12]


def _features(config: TandemConfig, params: Params, tokens: jax.Array) -> dict[str, jax.Array]:
    logits, run = primary_pass(config, params, tokens)
    # Of the whole vocabulary, so that what the drafter lacks keeps its share.
    top_p, top_id = jax.lax.top_k(jax.nn.softmax(logits, -1), min(TOP, logits.shape[-1]))
    out = {f"x{level}": run.activations[level] for level in sorted(set(config.layer_map))}
    return out | {"top_p": top_p, "top_id": top_id}


def _run(run: Callable, primary: Params, text: Text) -> Shard:
    """The features of every token but the last one, whose successor nobody knows."""
    count = len(text.tokens) - 1
    padded = np.zeros((1, -(-count // _STEP) * _STEP), np.int32)
    padded[0, :count] = text.tokens[:-1]
    out = run(primary, jnp.asarray(padded))
    return {name: np.asarray(value)[:count] for name, value in out.items()}


def _shard(texts: Sequence[Text], rows: Sequence[Shard]) -> Shard:
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    # Activations of large models pass float16's range: each level is divided by its own scale.
    halved = {}
    for name, value in joined.items():
        if name.startswith("x"):
            scale = np.float32(max(np.abs(value).max() / 1e4, 1e-6))
            halved |= {name: (value / scale).astype(np.float16), f"scale_{name}": scale}
    return halved | {
        "tokens": np.concatenate([text.tokens[:-1] for text in texts]),
        "labels": np.concatenate([text.tokens[1:] for text in texts]),
        "lengths": np.array([len(text.tokens) - 1 for text in texts]),
        "first": np.array([text.first for text in texts]),
        "top_p": joined["top_p"].astype(np.float16),
        "top_id": joined["top_id"].astype(np.int32),
    }


def _write(path: Path, shard: Shard) -> None:
    """Under another name first: a shard that is there is complete."""
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name, value in shard.items():
        np.save(part / f"{name}.npy", value)
    os.replace(part, path)
