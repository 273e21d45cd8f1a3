"""A GGUF file of one layer, encoded by hand, so that any field can be another."""

from __future__ import annotations

import copy
import random
import struct
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import change_bytes
from tests.fuzz.surfaces.hugging_face import FF, HEADS, WIDTH, WORDS

# GGUF's numbers of value types -> struct's letters.
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY, _ALIGNMENT = 8, 9, 32
Entry = list[Any]  # key, type, value; of an array the type is (9, item type)
_TOKENS = ["<pad>", "<bos>", "<eos>", *(chr(0x4E00 + i) for i in range(WORDS - 3))]
ENTRIES: list[Entry] = [
    ["general.architecture", 8, "llama"],
    ["llama.block_count", 4, 1],
    ["llama.context_length", 4, 128],
    ["llama.embedding_length", 4, WIDTH],
    ["llama.feed_forward_length", 4, FF],
    ["llama.attention.head_count", 4, HEADS],
    ["llama.attention.head_count_kv", 4, 1],
    ["llama.attention.layer_norm_rms_epsilon", 6, 1e-5],
    ["llama.rope.freq_base", 6, 500.0],
    ["llama.rope.dimension_count", 4, WIDTH // HEADS],
    ["tokenizer.ggml.model", 8, "llama"],
    ["tokenizer.ggml.tokens", (9, 8), _TOKENS],
    ["tokenizer.ggml.scores", (9, 6), [-1000.0] * 3 + [-float(i) for i in range(WORDS - 3)]],
    ["tokenizer.ggml.token_type", (9, 5), [3] * 3 + [1] * (WORDS - 3)],
    ["tokenizer.ggml.bos_token_id", 4, 1],
    ["tokenizer.ggml.eos_token_id", 4, 2],
    ["tokenizer.ggml.add_bos_token", 7, True],
    ["tokenizer.chat_template", 8, "{{ messages[0].content }}"],
]
# name, dims (fastest first), type, offset
TENSORS: list[Entry] = []
for _name, _dims in {
    "token_embd.weight": [WIDTH, WORDS],
    "output_norm.weight": [WIDTH],
    "output.weight": [WIDTH, WORDS],
    "blk.0.attn_norm.weight": [WIDTH],
    "blk.0.ffn_norm.weight": [WIDTH],
    "blk.0.attn_q.weight": [WIDTH, WIDTH],
    "blk.0.attn_k.weight": [WIDTH, WIDTH // HEADS],
    "blk.0.attn_v.weight": [WIDTH, WIDTH // HEADS],
    "blk.0.attn_output.weight": [WIDTH, WIDTH],
    "blk.0.ffn_gate.weight": [WIDTH, FF],
    "blk.0.ffn_up.weight": [WIDTH, FF],
    "blk.0.ffn_down.weight": [FF, WIDTH],
}.items():
    TENSORS.append([_name, _dims, 0, 512 * len(TENSORS)])


def write_gguf(path: Path) -> None:
    path.write_bytes(encode(ENTRIES, TENSORS))


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(data)) + data


def _value(kind: Any, value: Any) -> bytes:
    if isinstance(kind, tuple):
        items = value if isinstance(value, list) else [value]
        inner = b"".join(_value(kind[1], item) for item in items)
        return struct.pack("<IQ", kind[1], len(items)) + inner
    if kind == _STRING:
        return _text(str(value))
    letter = _NUMBERS.get(kind, "I")
    size = struct.calcsize(f"<{letter}")
    if letter in "fd":
        try:
            return struct.pack(f"<{letter}", float(value))
        except (TypeError, ValueError, OverflowError):
            return b"\xff" * size
    number = int(value) if isinstance(value, bool | int) else 0
    return (number % 2 ** (8 * size)).to_bytes(size, "little")


def encode(entries: list[Entry], tensors: list[Entry]) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    for key, kind, value in entries:
        number = kind[0] if isinstance(kind, tuple) else kind
        out += _text(key) + struct.pack("<I", number % 2**32) + _value(kind, value)
    for name, dims, kind, offset in tensors:
        out += _text(name) + struct.pack("<I", len(dims))
        out += b"".join((int(n) % 2**64).to_bytes(8, "little") for n in dims)
        out += struct.pack("<IQ", kind % 2**32, offset % 2**64)
    out += b"\0" * (-len(out) % _ALIGNMENT)
    return out + b"\0\0\x80\x3f" * (128 * len(TENSORS))


_SIZES = (0, 1, 2, 3, 7, 100, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1, -1)
_WORDS = ("", "x", "qwen2", "gemma3", "gpt2", "\ud800", "a" * 3000, "{{ 1/0 }}", "none", "yarn")
_REALS = (0.0, -1.0, 1e300, float("nan"), float("inf"), 1e-320)


def change_gguf(rng: random.Random, data: bytes) -> bytes:
    """Entries or tensors changed and encoded, or the bytes of the header."""
    if rng.random() < 0.3:
        return change_bytes(rng, data, range(len(data) - 512 * len(TENSORS)))
    entries, tensors = copy.deepcopy(ENTRIES), copy.deepcopy(TENSORS)
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.6:
            _change_entry(rng, entries)
        else:
            _change_tensor(rng, tensors)
    return encode(entries, tensors)


def _odd(rng: random.Random) -> Any:
    return rng.choice((rng.choice(_SIZES), rng.choice(_WORDS), rng.choice(_REALS), True))


def _change_entry(rng: random.Random, entries: list[Entry]) -> None:
    at = rng.randrange(len(entries))
    kind = rng.randrange(6)
    if kind == 0:
        del entries[at]
    elif kind == 1:
        entries.insert(at, copy.deepcopy(rng.choice(entries)))
    elif kind == 2:
        entries[at][1] = rng.choice((*_NUMBERS, 8, (9, 4), (9, 8), (9, 6), (9, 9), 13, 2**31))
    elif kind == 3 and isinstance(entries[at][2], list):
        values = entries[at][2]
        values[rng.randrange(len(values))] = _odd(rng)
    elif kind == 4:
        names = ("rope.scaling.type", "rope.scaling.factor", "attention.key_length", "x")
        entries.append([f"llama.{rng.choice(names)}", rng.choice((4, 6, 8)), _odd(rng)])
    else:
        entries[at][2] = _odd(rng)


def _change_tensor(rng: random.Random, tensors: list[Entry]) -> None:
    at = rng.randrange(len(tensors))
    kind = rng.randrange(6)
    if kind == 0:
        del tensors[at]
    elif kind == 1:
        tensors.append(copy.deepcopy(tensors[at]))
    elif kind == 2:
        tensors[at][0] = rng.choice(_WORDS)
    elif kind == 3:
        tensors[at][1] = [rng.choice((1, 8, *_SIZES)) for _ in range(rng.choice((0, 1, 2, 4, 40)))]
    elif kind == 4:
        tensors[at][2] = rng.choice((*range(40), 255, 2**31))
    else:
        tensors[at][3] = rng.choice((1, 32, 511, *_SIZES))
