"""Held-out dialogues as `evaluate` reads them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from click.testing import CliRunner
from tokenizers import Tokenizer, models

from recipes.smollm2 import shards
from recipes.smollm2.conversations import as_conversation, main
from recipes.smollm2.dialogues import Dialogue
from tandem_export.checkpoint import read_checkpoint

ANSWERS = ("def f(x):\n    return x\n", "import os")


def test_held_out_dialogues_become_conversations(tmp_path: Path) -> None:
    pair = read_checkpoint("demo:stdlib-mini")
    tokenizer, (end,) = Tokenizer.from_str(pair.tokenizer_json), pair.vocabulary.end_tokens
    empty = Dialogue(system="s", user="", prompt=(1,), answer=(), temperature=1.0, seed=0)
    dialogues = [
        dataclasses.replace(
            empty, user=f"\u00fc {i}", answer=(*tokenizer.encode(ANSWERS[i % 2]).ids, end)
        )
        for i in range(60)
    ]
    shards.extend(tmp_path / "dialogues", 1, lambda _: dialogues)
    held_out = [d for d in dialogues if shards.is_held_out(d)]
    out = tmp_path / "out.jsonl"
    arguments = ["demo:stdlib-mini", "--dialogues", str(tmp_path / "dialogues"), "--out", str(out)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert json.loads(result.output) == {"conversations": len(held_out)} and held_out
    lines = out.read_text(encoding="utf-8").splitlines()
    for line, dialogue in zip(lines, held_out, strict=True):
        system, user, assistant = json.loads(line)["messages"]
        assert (system["role"], system["content"]) == ("system", "s")
        assert (user["role"], user["content"]) == ("user", dialogue.user)
        answer = ANSWERS[dialogues.index(dialogue) % 2]
        assert (assistant["role"], assistant["content"]) == ("assistant", answer)


def test_an_end_token_that_is_an_ordinary_one_is_left_out_too() -> None:
    words = Tokenizer(models.WordLevel({"end": 0, "yes": 1, "no": 2}, unk_token="end"))
    dialogue = Dialogue(system="", user="", prompt=(1,), answer=(1, 2, 0), temperature=1.0, seed=0)
    line = json.loads(as_conversation(dialogue, words, (0,)))
    assert line["messages"][-1]["content"] == "yes no"
