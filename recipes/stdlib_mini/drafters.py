"""How a drafter starts: from the primary's own tensors, its projections by least squares.

A drafter as wide as the primary copies the embedding, the final norm and evenly spaced layers (the
strongest neurons of their feed-forward, if its own is smaller); a narrower one takes the principal
directions of the embedding.
"""

from __future__ import annotations

import numpy as np

from recipes.stdlib_mini.corpus import Corpus
from recipes.stdlib_mini.losses import primary_pass
from tandem_export.config import DecoderConfig, TandemConfig
from tandem_export.model import Params, initialise


def start_params(config: TandemConfig, primary: Params, seed: int) -> Params:
    """The drafter's own tensors (no projections) before any training."""
    draft = config.drafter
    params = {
        name: np.asarray(value)
        for name, value in initialise(config, "drafter", seed).items()
        if not name.startswith("projection.")
    }
    if draft.width == config.primary.width:
        return params | _copied(draft, config.primary, primary)
    params["embedding.weight"] = _principal(np.asarray(primary["embedding.weight"]), draft.width)
    return params


def _copied(draft: DecoderConfig, big: DecoderConfig, primary: Params) -> Params:
    """Embedding, final norm, and layers 0 .. last evenly spaced (layer 0 when there is one)."""
    taken = np.linspace(0, big.num_layers - 1, draft.num_layers).astype(int)
    copied = {name: primary[name] for name in ("embedding.weight", "final_norm.weight")}
    for j, source in enumerate(taken):
        prefix = f"layers.{source}."
        own = {n.removeprefix(prefix): v for n, v in primary.items() if n.startswith(prefix)}
        own |= strongest_neurons(own, draft.ff_size)
        copied |= {f"layers.{j}.{name}": value for name, value in own.items()}
    return copied


def strongest_neurons(layer: Params, count: int) -> Params:
    """A layer's feed-forward cut to the `count` neurons of largest product of norms."""
    gate, up, down = (np.asarray(layer[f"ff.{x}.weight"]) for x in ("gate", "up", "down"))
    strength = np.linalg.norm(up, axis=0) * np.linalg.norm(down, axis=1)
    kept = np.sort(np.argsort(strength)[-count:])
    return {
        "ff.gate.weight": gate[:, kept],
        "ff.up.weight": up[:, kept],
        "ff.down.weight": down[kept],
    }


def _principal(embedding: np.ndarray, width: int) -> np.ndarray:
    """The embedding in its `width` principal directions."""
    _, _, directions = np.linalg.svd(embedding, full_matrices=False)
    return (embedding @ directions[:width].T).astype(np.float32)


def projections(config: TandemConfig, primary: Params, drafter: Params, corpus: Corpus) -> Params:
    """projection[j] that best maps x^{layer_map[j]} to the drafter's own input of layer j.

    Least squares over 16,384 training tokens: the tandem drafter starts near its own quality.
    """
    rows = [_activations(config, primary, drafter, corpus, step) for step in range(8)]
    made = {}
    for j in range(config.drafter.num_layers):
        x = np.concatenate([big[config.layer_map[j]] for big, _ in rows])
        y = np.concatenate([own[j] for _, own in rows])
        ridge = 1e-3 * len(x) * np.eye(x.shape[1]) * np.mean(x * x)
        made[f"projection.{j}.weight"] = np.linalg.solve(x.T @ x + ridge, x.T @ y).astype(
            np.float32
        )
    return made


def _activations(config, primary, drafter, corpus, step):
    """(primary activations, drafter layer inputs) of one batch, lists of `[M, D]`."""
    tokens = corpus.batch(np.random.default_rng((77, step)), 16, 128)[:, :-1]
    _, big = primary_pass(config, primary, tokens)
    as_primary = TandemConfig(primary=config.drafter, drafter=config.drafter, kind="independent")
    _, own = primary_pass(as_primary, drafter, tokens)
    return [np.asarray(a) for a in big.activations], [np.asarray(a) for a in own.activations]
