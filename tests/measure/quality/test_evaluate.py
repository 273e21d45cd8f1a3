"""A tiny pair through the command line, against the model's own pass over whole sequences."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from recipes.stdlib_mini.losses import drafter_logits, primary_pass
from tandem_export.checkpoint import read_checkpoint
from tandem_export.targets import build
from tests.cli.test_commands import run
from tests.parity.bundles import OPTIONS, checkpoint, shared_bundle, shared_checkpoint

ROLES = ("prefill", "insert", "primary_block", "drafter_step", "round")
MEASURES = ("accuracy", "ce", "relative_accuracy", "relative_tv")
TOKENS = np.random.default_rng(0).integers(1, 17, 50).tolist()
WINDOW = 20
SMALL = ("--window", WINDOW, "--max-new-tokens", 5, "--prompts", 2)
TEMPLATE = (
    "{% for m in messages %}{{ 'w' ~ (m.role | length) }} {{ m.content }} w0 {% endfor %}"
    "{% if add_generation_prompt %}w9{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a chat template, its bundle in two forms, and a text."""
    folder = tmp_path_factory.mktemp("evaluate")
    source = read_checkpoint(str(shared_checkpoint()))
    pair = dataclasses.replace(source, chat_template=TEMPLATE)
    options = dataclasses.replace(OPTIONS, roles=ROLES)
    targets = ("stablehlo", "onnx")
    build(pair, options, folder / "bundle", targets=targets, check_values=False)
    (folder / "text.txt").write_text(" ".join(f"w{i}" for i in TOKENS))
    return folder


def measured(*arguments: object) -> dict[str, Any]:
    result = run("evaluate", *arguments, *SMALL, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


@cache
def logits(tokens: tuple[int, ...], block: int) -> tuple[np.ndarray, np.ndarray]:
    """The primary's and the drafter's `[n, V]`, by one pass over the whole sequence."""
    pair = read_checkpoint(str(shared_checkpoint()))
    parts = {p: {n: jnp.asarray(t) for n, t in own.items()} for p, own in pair.params.items()}
    inputs = jnp.asarray([tokens[:-1]])
    big, seen = primary_pass(pair.config, parts["primary"], inputs)
    small = drafter_logits(pair.config, parts["drafter"], inputs, seen.activations, block)
    return np.asarray(big, np.float64), np.asarray(small, np.float64)


def by_hand(pieces: list[tuple[list[int], int]], block: int) -> dict[str, float]:
    """The measures over texts (tokens, first), one token after the other."""
    rows = []
    for tokens, first in pieces:
        big, small = logits(tuple(tokens), block)
        for at in range(first - 1, len(tokens) - 1):
            p, q = (np.exp(x[at]) / np.exp(x[at]).sum() for x in (big, small))
            label = tokens[at + 1]
            tv = sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
            rows.append((q.argmax() == label, -np.log(q[label]), q.argmax() == p.argmax(), tv))
    means = np.mean(np.array(rows, float), 0).tolist()
    return dict(zip(MEASURES, means, strict=True))


WINDOWS = [(TOKENS[at : at + WINDOW], 1) for at in range(0, 50, WINDOW)]


@pytest.mark.parametrize("executor", ["jax", "onnxruntime"])
def test_a_bundle_has_the_measures_of_whole_sequences(executor: str, folder: Path) -> None:
    """Three windows in two slots: the last one is shorter, and beside it stands an idle slot."""
    pytest.importorskip(executor, reason=f"{executor} is not installed")
    text = ("--text", folder / "text.txt", "--block", "1,2,5,30")
    found = measured(folder / "bundle", *text, "--executor", executor)
    assert found["texts"] == 3 and found["executor"] == executor
    assert [row["block"] for row in found["drafter"]] == [1, 2, 5, 30]
    for row in found["drafter"]:
        expected = by_hand(WINDOWS, row["block"])
        assert {name: row[name] for name in MEASURES} == pytest.approx(expected, abs=1e-5)
        assert row["tokens"] == 47 and row["known_share"] == 1.0
    assert len({row["relative_tv"] for row in found["drafter"]}) == 4, "block lengths matter"
    primary = by_hand_primary()
    assert found["primary"] == pytest.approx({"tokens": 47} | primary, abs=1e-5)
    assert [row["sampling"] for row in found["acceptance"]] == ["greedy", "temperature 1"]
    for row in found["acceptance"]:
        assert row["gamma"] == 2 and row["answers"] == 2 and 2 <= row["tokens"] <= 10
        assert len(row["acceptance_at"]) == 2
        assert all(0 <= share <= 1 for share in row["acceptance_at"])


def by_hand_primary() -> dict[str, float]:
    rows = []
    for tokens, _ in WINDOWS:
        big, _ = logits(tuple(tokens), 1)
        p = np.exp(big) / np.exp(big).sum(-1, keepdims=True)
        rows += [(p[i].argmax() == t, -np.log(p[i, t])) for i, t in enumerate(tokens[1:])]
    return dict(zip(MEASURES, np.mean(np.array(rows, float), 0).tolist(), strict=False))


def test_the_loop_is_that_of_generate(folder: Path) -> None:
    found = measured(folder / "bundle", "--text", folder / "text.txt", "--block", "1")
    heads = [" ".join(f"w{i}" for i in tokens[: len(tokens) // 2]) for tokens, _ in WINDOWS[:2]]
    options = ("--max-new-tokens", 5, "--gamma", 2, "--batch", 2, "--json")
    total = json.loads(run("generate", folder / "bundle", *heads, *options).stdout)["total"]
    greedy = found["acceptance"][0]
    assert greedy["acceptance_at"] == total["acceptance_at"]
    assert greedy["tokens"] == total["tokens"]


def test_a_checkpoint_has_the_measures_of_its_bundle_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = ("--text", folder / "text.txt", "--block", "2", "--window", WINDOW, "--prompts", 0)
    result = run("evaluate", shared_checkpoint(), *text, "--executor", "onnxruntime", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    [row] = found["drafter"]
    assert {n: row[n] for n in MEASURES} == pytest.approx(by_hand(WINDOWS, 2), abs=1e-5)
    assert found["bundle"] == "checkpoint" and found["acceptance"] == []
    assert list(tmp_path.iterdir()) == []


def test_only_answers_of_conversations_are_counted(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="chat templates need jinja2 (the extra `chat`)")
    file = tmp_path / "talk.jsonl"
    answers = [("w1 w2 w3", "w5 w6"), ("w2", "w7 w8 w4 w5 w6")]
    file.write_text("\n".join(json.dumps({"messages": turns(q, a)}) for q, a in answers))
    found = measured(folder / "bundle", "--text", file, "--block", "2")
    pieces = [([4, 1, 2, 3, 0, 9, 5, 6, 0], 6), ([4, 2, 0, 9, 7, 8, 4, 5, 6, 0], 4)]
    [row] = found["drafter"]
    assert row["tokens"] == 9
    assert {n: row[n] for n in MEASURES} == pytest.approx(by_hand(pieces, 2), abs=1e-5)


def turns(question: str, answer: str) -> list[dict[str, str]]:
    # The template writes w4 for a user and w9 for an assistant.
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_two_pairs_stand_side_by_side(folder: Path) -> None:
    text, other = ("--text", folder / "text.txt", "--block", "1,2"), shared_bundle("independent")
    found = measured(shared_bundle(), "--against", other, *text)
    assert [row["block"] for row in found["drafter"]] == [1, 2]
    [row] = found["against"]["drafter"]
    assert row["block"] is None
    assert row["relative_tv"] == pytest.approx(independent_tv(), abs=1e-5)
    shown = run("evaluate", shared_bundle(), "--against", other, *text, *SMALL)
    assert shown.exit_code == 0, shown.stderr
    assert "47 tokens of 3 texts" in shown.stdout and "any" in shown.stdout
    assert f"{row['relative_tv']:.4f}" in shown.stdout and "In the loop" in shown.stdout
    done, total = shown.stderr.splitlines()[-1].split(": ")[0].split(" of ")
    assert done == total


def independent_tv() -> float:
    pair = checkpoint("independent")
    parts = {p: {n: jnp.asarray(t) for n, t in own.items()} for p, own in pair.params.items()}
    rows = []
    for tokens, _ in WINDOWS:
        inputs = jnp.asarray([tokens[:-1]])
        big, _ = primary_pass(pair.config, parts["primary"], inputs)
        small = drafter_logits(pair.config, parts["drafter"], inputs, [], 1)
        p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in map(np.asarray, (big, small)))
        rows += (abs(p - q).sum(-1) / 2).tolist()
    return float(np.mean(rows))


def test_pairs_that_read_other_tokens_do_not_compare(folder: Path) -> None:
    text = ("--text", folder / "text.txt")
    result = run("evaluate", folder / "bundle", "--against", shared_bundle(), *text)
    assert result.exit_code == 2
    assert (
        "must read the same tokens" in result.stderr and "the same chat template" in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--tokens", 0), "`--tokens` must be at least 1. Got: 0"),
        (("--block", "0,2"), "`--block` must be numbers of at least 1. Got: [0, 2]"),
        (("--batch", 3), "`--batch` must be one of the bundle's buckets [2]. Got: 3"),
        (("--max-new-tokens", 31), "lower `--max-new-tokens`. Got: 31, room for -1"),
        (("--executor", "openvino"), "no 'onnx' graphs"),
    ],
)
def test_bad_input_is_one_paragraph(arguments: tuple, text: str, folder: Path) -> None:
    result = run("evaluate", shared_bundle(), "--text", folder / "text.txt", *arguments)
    assert result.exit_code == 2 and text in result.stderr.splitlines()[-1]


def test_what_is_no_pair_is_named(folder: Path, tmp_path: Path) -> None:
    text = ("--text", folder / "text.txt")
    nowhere = run("evaluate", tmp_path / "nowhere", *text)
    assert nowhere.exit_code == 2 and "there is no checkpoint at" in nowhere.stderr
    weights = run("evaluate", "m.gguf", *text)
    assert weights.exit_code == 2 and "takes a bundle or a checkpoint. Make a" in weights.stderr
    options = dataclasses.replace(OPTIONS, roles=("prefill", "insert", "round"))
    build(checkpoint("tandem"), options, tmp_path / "rounds", check_values=False)
    rounds = run("evaluate", tmp_path / "rounds", *text)
    assert rounds.exit_code == 2
    assert "must have the graphs `primary_block` and `drafter_step`. Got: " in rounds.stderr
