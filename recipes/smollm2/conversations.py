"""Writes the held-out dialogues as conversations, which `tandem-export evaluate` reads.

    python -m recipes.smollm2.conversations PAIR --dialogues DIR/dialogues --out held-out.jsonl

PAIR is a checkpoint with the tokenizer: that of the primary or of a trained pair.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import click
from tokenizers import Tokenizer

from recipes.smollm2 import shards
from recipes.smollm2.dialogues import Dialogue
from tandem_export.checkpoint import read_checkpoint


def as_conversation(dialogue: Dialogue, tokenizer: Tokenizer, ends: Collection[int]) -> str:
    """One line of JSON; the answer without the token that ended it, which the template writes."""
    answer = tokenizer.decode([token for token in dialogue.answer if token not in ends])
    turns = (("system", dialogue.system), ("user", dialogue.user), ("assistant", answer))
    messages = [{"role": role, "content": content} for role, content in turns]
    return json.dumps({"messages": messages}, ensure_ascii=False)


@click.command()
@click.argument("checkpoint")
@click.option("--dialogues", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(checkpoint: str, dialogues: Path, out: Path) -> None:
    """Writes OUT, a conversation a line."""
    pair, (_, held_out) = read_checkpoint(checkpoint), shards.read(dialogues)
    tokenizer, ends = Tokenizer.from_str(pair.tokenizer_json), pair.vocabulary.end_tokens
    lines = [as_conversation(dialogue, tokenizer, ends) for dialogue in held_out]
    out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(json.dumps({"conversations": len(lines)}))


if __name__ == "__main__":
    main()
