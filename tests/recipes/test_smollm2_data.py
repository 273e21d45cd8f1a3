"""Dialogues that a model writes by itself, with a tiny model and the real engine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from recipes.smollm2 import shards
from recipes.smollm2.data import main
from recipes.smollm2.dialogues import Dialogue, Lengths, distinct, is_varied, write_dialogues
from recipes.smollm2.heads import Head, draw_head, render_head
from tandem_export import load
from tandem_export.checkpoint import Checkpoint, Vocabulary
from tandem_export.graphs import BuildOptions
from tandem_export.runtime import Engine
from tandem_export.targets import build
from tests.tiny import LLAMA, alone, random_params

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LENGTHS = Lengths(message=24, answer=12)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer over bytes; one token in twelve ends a text, so that random ones end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    config = alone(dataclasses.replace(LLAMA, num_layers=1, vocab_size=len(alphabet)))
    params = {part: random_params(config, part) for part in ("primary", "drafter")}
    checkpoint = Checkpoint(
        config=config,
        vocabulary=Vocabulary(size=len(alphabet), end_tokens=tuple(range(0, 252, 12))),
        tokenizer_json=tokenizer.to_str(),
        chat_template=TEMPLATE,
        params={p: {n: np.asarray(t) for n, t in own.items()} for p, own in params.items()},
        provenance={},
        source={},
    )
    options = BuildOptions(
        batch=(4,),
        gamma=(1,),
        prompt=(64,),
        cache=320,
        roles=("prefill", "insert", "round"),
        platforms=("cpu",),
    )
    out = tmp_path_factory.mktemp("dialogues") / "bundle"
    build(checkpoint, options, out, check_values=False)
    return out


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return load(bundle, batch=4, modes=("primary",))


def dialogue(user: str, answer: tuple[int, ...] = (1, 2)) -> Dialogue:
    return Dialogue(
        system="s", user=user, prompt=(7,), answer=answer, temperature=0.7, seed=2**32 - 1
    )


def test_a_head_is_the_beginning_of_the_prompt(engine: Engine) -> None:
    assert engine.chat is not None
    head = Head(system="Be brief.", opening="What is")
    assert render_head(engine.chat, head) == "<system>Be brief.</s><user>What is"
    rng = np.random.default_rng(0)
    heads = {draw_head(rng) for _ in range(400)}
    assert len({head.system for head in heads}) == 10
    assert {head.opening for head in heads} >= {"", "Fix this code", "Write a letter to"}


def test_messages_are_answered_in_the_chat_template(engine: Engine) -> None:
    assert engine.chat is not None and engine.tokenizer is not None
    made = write_dialogues(engine, np.random.default_rng(3), 16, LENGTHS)
    assert 4 <= len(made) <= 16
    assert len({d.seed for d in made}) == len(made)
    for d in made:
        text = f"<system>{d.system}</s><user>{d.user}</s><assistant>"
        assert engine.tokenizer.decode(list(d.prompt)) == text
        assert 1 <= len(d.answer) <= LENGTHS.answer and is_varied(d.answer)
        assert 0.7 <= d.temperature <= 1
    assert write_dialogues(engine, np.random.default_rng(3), 16, LENGTHS) == made
    assert write_dialogues(engine, np.random.default_rng(4), 16, LENGTHS) != made


def test_a_text_that_repeats_itself_is_not_varied() -> None:
    assert is_varied(range(100)) and is_varied((1, 2)) and is_varied(())
    assert is_varied([*range(60), *range(30)])
    assert not is_varied([1, 2, 3] * 30)


def test_the_same_message_counts_once() -> None:
    rows = [dialogue("Why  is it?"), dialogue("why is\nit?", (3,)), dialogue("Who is it?")]
    assert distinct(rows) == [rows[0], rows[2]]


def test_shards_are_written_once_and_read_back(tmp_path: Path) -> None:
    numbers = []

    def make(number: int) -> list[Dialogue]:
        numbers.append(number)
        if number == 2 and numbers.count(2) == 1:
            raise KeyboardInterrupt
        return [dialogue(f"line\u2028{number}.{i} \N{SNOWMAN}") for i in range(40)]

    with pytest.raises(KeyboardInterrupt):
        shards.extend(tmp_path, 3, make)
    shards.extend(tmp_path, 3, make)
    shards.extend(tmp_path, 4, make)
    assert numbers == [0, 1, 2, 2, 3]
    train, held_out = shards.read(tmp_path)
    assert len(train) + len(held_out) == 160 and 2 <= len(held_out) <= 16
    assert {d.user for d in train}.isdisjoint(d.user for d in held_out)
    assert dialogue("line\u20280.0 \N{SNOWMAN}") in train + held_out
    facts = shards.read_index(tmp_path)["00000.jsonl"]
    assert facts["dialogues"] == facts["prompt_tokens"] == 40 and facts["answer_tokens"] == 80


def test_a_shard_that_was_changed_is_refused(tmp_path: Path) -> None:
    shards.extend(tmp_path, 1, lambda _: [dialogue("one")])
    path = tmp_path / "00000.jsonl"
    path.write_text(dialogue("two").to_line())
    with pytest.raises(ValueError, match=r"00000\.jsonl is not what index\.json says\. Delete bo"):
        shards.read(tmp_path)


def test_the_command_goes_on_where_it_stopped(bundle: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    sizes = ("--size", "8", "--message", "24", "--answer", "12", "--batch", "4")
    arguments = [str(bundle), "--out", str(tmp_path), *sizes]
    first = CliRunner().invoke(main, [*arguments, "--shards", "1"], catch_exceptions=False)
    again = CliRunner().invoke(main, [*arguments, "--shards", "2"], catch_exceptions=False)
    lines = [json.loads(line) for line in (first.stdout + again.stdout).splitlines()]
    assert [line.get("shard") for line in lines] == [0, None, 1, None]
    assert lines[3]["answer_tokens"] == lines[0]["answer_tokens"] + lines[2]["answer_tokens"]
    assert sorted(shards.read_index(tmp_path)) == ["00000.jsonl", "00001.jsonl"]
