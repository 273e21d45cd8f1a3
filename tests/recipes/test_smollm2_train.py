"""Training on dialogues, at toy sizes, for one device and for four."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optax", reason="training needs optax (the extra `train`)")

from recipes.smollm2 import shards
from recipes.smollm2.dialogues import Dialogue
from recipes.smollm2.train import read_texts
from tandem_export.checkpoint import read_checkpoint

SIZES = ("--tokens", 200, "--layers", 2, "--width", 96, "--ff", 64, "--steps", 20)


HELD_OUT = 2  # of 80 dialogues; every other one is for calibration


def dialogue(number: int) -> Dialogue:
    rng = np.random.default_rng(number)
    prompt, answer = (tuple(rng.integers(1, 200, n).tolist()) for n in (12, 30))
    return Dialogue(
        system="s",
        user=f"question {number}",
        prompt=prompt,
        answer=answer,
        temperature=1.0,
        seed=number,
    )


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dialogues")
    shards.extend(folder, 2, lambda shard: [dialogue(40 * shard + i) for i in range(40)])
    return folder


def test_what_has_to_be_guessed_is_the_answer(dialogues: Path) -> None:
    texts = read_texts(dialogues)
    assert len(texts.train) + len(texts.held_out) == 80 and len(texts.held_out) >= 1
    for text in (*texts.train, *texts.held_out):
        assert text.first == 12 and len(text.tokens) == 42


def train(dialogues: Path, out: Path, *options: object, devices: int = 1) -> dict:
    """In a process of its own: the number of devices is set before jax starts."""
    command = ("-m", "recipes.smollm2.train", "demo:stdlib-mini", "--dialogues", dialogues)
    arguments = [str(a) for a in (*command, "--out", out, *SIZES, *options)]
    flags = f"--xla_force_host_platform_device_count={devices}"
    made = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@pytest.mark.slow
def test_four_devices_train_the_same_pair_and_a_second_run_resumes(
    dialogues: Path, tmp_path: Path
) -> None:
    one = train(dialogues, tmp_path / "one")
    four = train(dialogues, tmp_path / "four", devices=4)
    for kind in ("tandem", "independent"):
        for row, other in zip(one[kind], four[kind], strict=True):
            assert row == pytest.approx(other, abs=0.02)
    assert [row["block"] for row in one["independent"]] == [1]
    for name in ("router", "router_as_learned"):
        assert one[name]["error"] == pytest.approx(four[name]["error"], abs=0.02)
        assert sum(row["tokens"] for row in one[name]["bins"]) == 30 * HELD_OUT // 2
    pair, alone = (read_checkpoint(tmp_path / "one" / n) for n in ("pair", "pair-independent"))
    assert pair.config.layer_map == (0, 11) and pair.config.drafter.width == 96
    assert alone.config.kind == "independent" and set(alone.params) == {"primary", "drafter"}
    logs = {path: path.read_text() for path in (tmp_path / "one").rglob("*.jsonl")}
    assert len(logs) == 5
    assert train(dialogues, tmp_path / "one") == one
    assert {path: path.read_text() for path in logs} == logs, "nothing is trained again"
