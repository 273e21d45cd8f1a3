"""A checkpoint of any size with random weights, to measure what does not depend on the weights.

python -m experiments.random_pair PAIR OUT, where PAIR is a TOML file or a preset of `plan`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from tandem_export.checkpoint import Checkpoint, Vocabulary, write_checkpoint
from tandem_export.model import PARTS, has_part, initialise
from tandem_export.tpu.plan import read_pair


def write_random_pair(pair: str, out: str | Path) -> Checkpoint:
    """Writes the checkpoint of `pair` to the folder `out`; every byte of a text is one token.

    Raises:
      ConfigError: `pair` is no preset and no readable TOML file.
      CheckpointError: there is something at `out`.
    """
    config = read_pair(pair)
    tokenizer = _bytes()
    own = [part for part in PARTS if has_part(config, part)]
    return write_checkpoint(
        out,
        config=config,
        vocabulary=Vocabulary(size=tokenizer.get_vocab_size(), end_tokens=(0,)),
        tokenizer_json=tokenizer.to_str(),
        params={part: initialise(config, part, i) for i, part in enumerate(own)},
        provenance={"made_by": "experiments.random_pair", "pair": pair},
    )


def _bytes() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


if __name__ == "__main__":
    write_random_pair(sys.argv[1], sys.argv[2])
