"""Damaged GGUF files: each one loads or is one CheckpointError, soon and in little memory."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the package gguf (the extra `import`)")

from tandem_export.errors import TandemError
from tandem_export.importing import read_source
from tests.importing import files

CASES = 200
EXTREMES = (0, 1, 2, 3, 8, 9, 13, 32, 255, 2**16, 2**24, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
KEYS = (
    *(b"head_count", b"block_count", b"embedding_length", b"feed_forward_length", b"epsilon"),
    *(b"token_type", b"scores", b"tokens", b"bos_token_id", b"eos_token_id", b"chat_template"),
    *(b"ggml.model", b"architecture", b"head_count_kv"),
)


def damaged(draw: random.Random, data: bytes, header: int) -> bytes:
    """`data` with a byte, a number, a length, a type or its end changed, mostly in the header."""
    out, at = bytearray(data), draw.randrange(4, header)
    number = struct.pack("<Q", draw.choice(EXTREMES))
    match draw.randrange(6):
        case 0:
            out[at] = draw.randrange(256)
        case 1:
            out[at : at + 8] = number
        case 2:
            out[at : at + 4] = number[:4]
        case 3:
            del out[draw.randrange(len(out)) :]
        case 4:
            del out[at : at + draw.choice((1, 4, 8, 12))]
        case 5:
            name = draw.choice(KEYS)
            place = out.find(name) + len(name) + draw.choice((0, 4, 8))
            out[place : place + 8] = number
    return bytes(out)


@pytest.mark.parametrize("name", ["llama2", "qwen2.5", "gemma3"])
def test_damage_is_an_error_of_ours(name: str, tmp_path: Path) -> None:
    data = files.gguf_file(tmp_path / "model.gguf", name).read_bytes()
    header = data.rfind(b"blk.") + 80
    path, loaded = tmp_path / "damaged.gguf", 0
    for seed in range(CASES):
        path.write_bytes(damaged(random.Random(seed), data, header))
        began = time.monotonic()
        try:
            source = read_source(str(path), "primary")
            for tensor in source.tensors.values():
                np.asarray(tensor)
            loaded += 1
        except TandemError as error:
            assert "`damaged.gguf`: " in str(error), seed
        assert time.monotonic() - began < 20, seed
    assert 0 < loaded < CASES / 2  # most damage shows, some is in names that nothing reads
