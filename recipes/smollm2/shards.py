"""Dialogues on disk: shards of JSON lines, and an index with their hashes and sizes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from recipes.smollm2.dialogues import Dialogue, distinct

INDEX = "index.json"
_HELD_OUT = 20  # one dialogue in so many


def extend(folder: Path, count: int, make: Callable[[int], Sequence[Dialogue]]) -> None:
    """Writes those of `count` shards that are missing; a run that was stopped goes on here.

    Args:
      folder: of the shards.
      count: shards in all.
      make: the dialogues of shard i.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = read_index(folder)
    for number in range(count):
        name = f"{number:05}.jsonl"
        if name not in index:
            dialogues = make(number)
            text = "".join(dialogue.to_line() + "\n" for dialogue in dialogues).encode()
            _replace(folder / name, text)
            index[name] = {
                "sha256": hashlib.sha256(text).hexdigest(),
                "dialogues": len(dialogues),
                "prompt_tokens": sum(len(dialogue.prompt) for dialogue in dialogues),
                "answer_tokens": sum(len(dialogue.answer) for dialogue in dialogues),
            }
            _replace(folder / INDEX, json.dumps(index, indent=1).encode())


def read_index(folder: Path) -> dict[str, dict]:
    """Facts by shard; nothing if there is no shard yet."""
    path = folder / INDEX
    return json.loads(path.read_text()) if path.exists() else {}


def _replace(path: Path, data: bytes) -> None:
    """Under another name first: a file that is there is complete."""
    part = path.with_suffix(path.suffix + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def read(folder: Path) -> tuple[list[Dialogue], list[Dialogue]]:
    """Training and held-out dialogues of all shards, each message once.

    Which side a dialogue is on depends on its message alone, so more shards move none.

    Raises:
      ValueError: a shard is not the one that the index names.
    """
    dialogues = []
    for name, facts in sorted(read_index(folder).items()):
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            raise ValueError(f"{folder / name} is not what {INDEX} says. Delete both to redo it.")
        dialogues += [Dialogue.from_line(line) for line in data.decode().split("\n") if line]
    sides: tuple[list[Dialogue], list[Dialogue]] = ([], [])
    for dialogue in distinct(dialogues):
        sides[is_held_out(dialogue)].append(dialogue)
    return sides


def is_held_out(dialogue: Dialogue) -> bool:
    """Whether the dialogue is kept for evaluation."""
    words = " ".join(dialogue.user.lower().split())
    return int(hashlib.sha256(words.encode()).hexdigest(), 16) % _HELD_OUT == 0
