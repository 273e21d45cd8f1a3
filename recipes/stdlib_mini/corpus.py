"""The corpus: the standard library of the running CPython, a fixed file list, a held-out split.

`files.txt` beside this file is the list that the shipped weights were trained on (CPython 3.11).
One file in twenty, chosen by the hash of its path, is held out; as the choice is made per file,
every top-level package with enough files has some on both sides.
"""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

FILE_LIST = Path(__file__).with_name("files.txt")
END_OF_TEXT = "<eos>"
VOCAB_SIZE = 1024
# Not ordinary source: generated tables, broken test data, other people's wheels.
_EXCLUDED = (
    "site-packages",
    "lib2to3/tests/data",
    "test/bad",
    "test/encoded_modules",
    "encodings/cp",
)


def standard_library() -> Path:
    """Where the running interpreter keeps its standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def is_held_out(name: str) -> bool:
    """Whether the file of this relative posix path is kept for evaluation."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 20 == 0


def scan(root: Path) -> list[str]:
    """Relative posix paths of the files that make a new file list."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    return sorted(name for name in names if not any(part in name for part in _EXCLUDED))


def file_list() -> list[str]:
    """The fixed list, one relative posix path a line."""
    return FILE_LIST.read_text().split()


def read(root: Path, name: str) -> str:
    """One source file, or nothing when this CPython does not ship it (or not as UTF-8)."""
    try:
        return (root / name).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE of `VOCAB_SIZE` tokens; id 0 ends a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class Corpus:
    """Token streams, files joined by the end token, and where they came from."""

    tokenizer: Tokenizer
    train: np.ndarray
    held_out: np.ndarray
    held_out_texts: dict[str, str]
    sha256: str

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
        """Random training windows `[rows, length + 1]`."""
        starts = rng.integers(0, len(self.train) - length - 1, rows)
        return np.stack([self.train[start : start + length + 1] for start in starts])

    def held_out_batches(self, rows: int, length: int, count: int) -> list[np.ndarray]:
        """Evenly spread held-out windows `[rows, length + 1]`, the same at every call."""
        starts = np.linspace(0, len(self.held_out) - length - 1, rows * count).astype(int)
        windows = np.stack([self.held_out[start : start + length + 1] for start in starts])
        return list(windows.reshape(count, rows, length + 1))


def _encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    end = [tokenizer.token_to_id(END_OF_TEXT)]
    encoded = tokenizer.encode_batch(texts)
    return np.concatenate([np.array(item.ids + end, np.int32) for item in encoded])


def load(cache: Path) -> Corpus:
    """Reads the corpus and tokenizes it; tokenizer and token streams are kept in `cache`."""
    root = standard_library()
    texts = {name: text for name in file_list() if (text := read(root, name))}
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    held_out = {name: text for name, text in texts.items() if is_held_out(name)}
    train = [text for name, text in texts.items() if name not in held_out]
    folder = cache / digest[:16]
    if not (folder / "held_out.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = train_tokenizer(train)
        tokenizer.save(str(folder / "tokenizer.json"))
        np.save(folder / "train.npy", _encode(tokenizer, train))
        np.save(folder / "held_out.npy", _encode(tokenizer, list(held_out.values())))
    return Corpus(
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        np.load(folder / "train.npy"),
        np.load(folder / "held_out.npy"),
        held_out,
        digest,
    )


if __name__ == "__main__":
    FILE_LIST.write_text("\n".join(scan(standard_library())) + "\n")
