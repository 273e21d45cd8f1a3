"""Writes a checkpoint from numpy arrays of your own framework; docs/own_weights.md explains it.

python examples/own_weights/write_checkpoint.py WEIGHTS.npz TOKENIZER.json OUT
"""

from __future__ import annotations

import sys

import numpy as np

from tandem_export.checkpoint import Vocabulary, write_checkpoint
from tandem_export.config import DecoderConfig, RouterConfig, TandemConfig

# Here: a primary of 2 layers, a drafter of 1 that reads the primary's last activation, a router.
PRIMARY = DecoderConfig(
    vocab_size=64, num_layers=2, width=32, num_heads=4, num_kv_heads=2, head_size=8, ff_size=48
)
DRAFTER = DecoderConfig(
    vocab_size=64, num_layers=1, width=16, num_heads=2, num_kv_heads=1, head_size=8, ff_size=24
)
CONFIG = TandemConfig(
    primary=PRIMARY, drafter=DRAFTER, layer_map=(2,), router=RouterConfig(top_k=4, hidden_size=32)
)
VOCABULARY = Vocabulary(size=64, end_tokens=(0,), begin_token=None)
INTERLEAVED = False  # True if your rotary embedding turns the pairs (x[2i], x[2i + 1])
OUT_IN = False  # True if your matrices are [out, in], as PyTorch has them


def halves_first(weight: np.ndarray, head_size: int) -> np.ndarray:
    """Columns of q or k `[D, heads * H]` from interleaved pairs to two halves."""
    pairs = weight.reshape(len(weight), -1, head_size // 2, 2)
    return pairs.swapaxes(2, 3).reshape(weight.shape)


def ready(name: str, array: np.ndarray, head_size: int) -> np.ndarray:
    """One tensor as docs/checkpoint.md wants it."""
    if OUT_IN and array.ndim == 2 and name != "embedding.weight":
        array = array.T
    if INTERLEAVED and name.endswith(("attention.q.weight", "attention.k.weight")):
        array = halves_first(array, head_size)
    return array.astype(np.float32)


def main(weights: str, tokenizer: str, out: str) -> None:
    """The arrays of WEIGHTS are named `primary/...`, `drafter/...` and `router/...`."""
    params: dict[str, dict[str, np.ndarray]] = {"primary": {}, "drafter": {}, "router": {}}
    for key, array in np.load(weights).items():
        part, name = key.split("/")
        head_size = (PRIMARY if part == "primary" else DRAFTER).head_size
        params[part][name] = ready(name, array, head_size)
    with open(tokenizer, encoding="utf-8") as file:
        text = file.read()
    provenance = {"trained_with": "my framework", "steps": 0}
    made = {"config": CONFIG, "vocabulary": VOCABULARY, "tokenizer_json": text}
    write_checkpoint(out, **made, params=params, provenance=provenance)


if __name__ == "__main__":
    main(*sys.argv[1:])
