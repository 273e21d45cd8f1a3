"""Checkpoints: `tandem.json`, tensors, tokenizer. Hashes are right after each change."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from tandem_export.checkpoint import Vocabulary, read_checkpoint, summary, write_checkpoint
from tandem_export.model import PARTS, has_part, shapes
from tests.fuzz.mutate import json_bytes
from tests.fuzz.surface import put_odd, replaced
from tests.fuzz.surfaces.bundles import change_safetensors
from tests.tiny import TANDEM

FILE = "tandem.json"


def prepare(folder: Path) -> Any:
    size = TANDEM.primary.vocab_size
    words = {"<eos>": 0} | {f"w{i}": i for i in range(1, size)}
    write_checkpoint(
        folder / "pair",
        config=TANDEM,
        vocabulary=Vocabulary(size=size, end_tokens=(0,)),
        tokenizer_json=Tokenizer(models.WordLevel(words, unk_token="<eos>")).to_str(),
        params={
            part: {
                name: np.zeros(shape, np.float32) for name, shape in shapes(TANDEM, part).items()
            }
            for part in PARTS
            if has_part(TANDEM, part)
        },
        provenance={"steps": 3},
    )
    return json.loads((folder / "pair" / FILE).read_bytes())


def use(folder: Path) -> None:
    summary(read_checkpoint(folder / "pair"))


def document(rng: random.Random, folder: Path, material: Any) -> None:
    with replaced(folder / "pair" / FILE, json_bytes(rng, material)):
        use(folder)


def _changed(folder: Path, material: Any, label: str, data: bytes) -> None:
    values = json.loads(json.dumps(material))
    entry = values["files"][label]
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    with (
        replaced(folder / "pair" / FILE, json.dumps(values).encode()),
        replaced(folder / "pair" / entry["path"], data),
    ):
        use(folder)


def tensors(rng: random.Random, folder: Path, material: Any) -> None:
    label = rng.choice(("primary", "drafter", "router"))
    path = folder / "pair" / material["files"][label]["path"]
    old = path.read_bytes()
    if rng.random() < 0.05:
        with replaced(path, old):
            put_odd(rng, path)
            use(folder)
        return
    _changed(folder, material, label, change_safetensors(rng, old))


def tokenizer(rng: random.Random, folder: Path, material: Any) -> None:
    old = (folder / "pair" / material["files"]["tokenizer"]["path"]).read_bytes()
    values = json.loads(old) | rng.choice(KINDS)
    _changed(folder, material, "tokenizer", json_bytes(rng, values))


_BPE = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
    "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "e": 5},
    "merges": [["a", "b"], ["ab", "c"]],
}
_SPLIT = {"type": "Split", "pattern": {"Regex": "a+|b"}, "behavior": "Isolated", "invert": False}
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"model": _BPE},
    {"model": _BPE | {"continuing_subword_prefix": "e"}},
    {"model": _BPE, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [_SPLIT]}},
    {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]}},
    {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "x"},
        "decoder": {"type": "ByteFallback"},
        "truncation": {
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "added_tokens": [
            {
                "id": 16,
                "content": "<x>",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
    },
)
