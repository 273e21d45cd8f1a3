"""The recipe from an imported checkpoint to a pair, at toy sizes."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("optax", reason="training needs optax (the extra `train`)")

from recipes.imported import drafter as drafters
from recipes.imported import features as cache
from recipes.imported.batches import CONTEXT, Features
from recipes.imported.evaluate import evaluate
from recipes.imported.text import Text, kept_tokens, rows_of
from recipes.imported.train import main
from recipes.stdlib_mini.losses import primary_pass
from tandem_export.checkpoint import read_checkpoint
from tests.tiny import LLAMA, alone, random_params

SIZES = ("--windows", 8, "--tokens", 300, "--layers", 2, "--width", 64, "--steps", 40)
VOCAB = LLAMA.vocab_size


def test_kept_tokens_are_the_most_frequent_of_those_to_guess_and_zero() -> None:
    text = Text(tokens=np.array([5, 5, 5, 3, 3, 3, 7, 7, 5, 9, 9, 9, 9]), first=3)
    kept = kept_tokens([text], 3, 12)
    assert kept.tolist() == [0, 3, 9]
    assert rows_of(kept, 12)[[9, 4, 3, 0]].tolist() == [2, -1, 1, 0]


def texts(*lengths: int) -> list[Text]:
    """Tokens that count up, so that a position shows where it came from."""
    drawn = [np.arange(n, dtype=np.int32) % VOCAB for n in lengths]
    return [Text(tokens=tokens, first=max(1, len(tokens) // 2)) for tokens in drawn]


@pytest.fixture(scope="module")
def tiny():
    config = alone(LLAMA)
    pair = drafters.pair(config.primary, 9, 2, 8, 16, "copied")
    return pair, random_params(config, "primary")


def computed(tiny, folder: Path, own: list[Text]) -> list[Path]:
    pair, primary = tiny
    return cache.compute(pair, primary, own, folder, lambda *_: None)


def test_features_are_the_primarys_and_more_texts_add_shards(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 2)
    pair, primary = tiny
    own = texts(80, 20, 9, 70)
    first = computed(tiny, tmp_path, own[:3])
    before = {path: (path / "tokens.npy").stat().st_mtime_ns for path in first}
    paths = computed(tiny, tmp_path, own)
    assert paths[0] == first[0] and paths[1] != first[1] and not first[1].exists()
    assert (paths[0] / "tokens.npy").stat().st_mtime_ns == before[first[0]]
    logits, run = primary_pass(pair, primary, jnp.asarray(own[1].tokens[None, :-1]))
    stored = {file.stem: np.load(file) for file in paths[0].glob("*.npy")}
    at = slice(79, 79 + 19)  # the second text
    for level in pair.layer_map:
        values = stored[f"x{level}"][at].astype(np.float32) * stored[f"scale_x{level}"]
        np.testing.assert_allclose(values, run.activations[level], rtol=1e-3, atol=1e-3)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    top = np.take_along_axis(p, stored["top_id"][at], -1)
    np.testing.assert_allclose(stored["top_p"][at], top, atol=1e-3)
    assert (np.diff(top, axis=-1) <= 1e-6).all()


def test_a_batch_has_what_was_cached_for_its_tokens(tiny, tmp_path) -> None:
    pair, _ = tiny
    rows = rows_of(np.array([0, 2, 3, 5, 6, 8, 9, 11, 16]), VOCAB)
    paths = computed(tiny, tmp_path, texts(200, 30))
    features = Features(paths, pair.layer_map, rows)
    stored = {file.stem: np.load(file) for file in paths[0].glob("*.npy")}
    batch = features.batch(np.random.default_rng(0), 6, 40)
    assert batch["tokens"].shape == (6, 40) and batch["x0"].shape == (240, LLAMA.width)
    assert batch["labels"].max() < 9
    whole = next(features.all(slice(1)))
    np.testing.assert_array_equal(whole["tokens"][0], np.maximum(rows[stored["tokens"][:199]], 0))
    counted = np.arange(199) >= 99
    np.testing.assert_array_equal(whole["counted"], counted)
    np.testing.assert_array_equal(whole["known"], counted & (rows[stored["labels"][:199]] >= 0))
    np.testing.assert_array_equal(whole["best"], rows[stored["top_id"][:199, 0]])
    lacking = rows[stored["top_id"][:199]] < 0
    assert (whole["top_p"][lacking] == 0).all() and (whole["top_p"][~lacking] > 0).all()


def test_windows_begin_shortly_before_what_is_to_guess_and_end_in_zeros(tiny, tmp_path) -> None:
    pair, _ = tiny
    rows = rows_of(np.arange(VOCAB), VOCAB)
    features = Features(computed(tiny, tmp_path, texts(200)), pair.layer_map, rows)
    batch = features.batch(np.random.default_rng(0), 32, 64)
    starts = (batch["tokens"][:, 0] - (100 - 1 - CONTEXT)) % VOCAB
    assert (batch["counted"].reshape(32, 64).sum(1) >= 64 - CONTEXT).all() and len(set(starts)) > 4
    short = features.batch(np.random.default_rng(0), 1, 190)
    assert (short["counted"] == 0).any() and short["top_p"][-1].sum() == 0


def test_copied_layers_of_full_width_are_the_primary(tiny) -> None:
    """With every direction kept, the drafter's stream is the primary's, turned."""
    config = alone(LLAMA)
    pair = drafters.pair(LLAMA, VOCAB, LLAMA.num_layers, LLAMA.width, LLAMA.ff_size, "copied")
    primary = random_params(config, "primary")
    primary["head.weight"] = primary["embedding.weight"].T  # the drafter's is tied
    primary["final_norm.weight"] = jnp.ones_like(primary["final_norm.weight"])
    samples = [np.random.default_rng(0).normal(size=(50, LLAMA.width)).astype(np.float32)]
    begun = drafters.begin(pair, primary, np.arange(VOCAB), samples, "copied")
    own = {n: jnp.asarray(v) for n, v in begun.items() if not n.startswith("projection.")}
    twin = alone(pair.drafter)
    tokens = jnp.arange(10)[None] % VOCAB
    want, _ = primary_pass(config, primary, tokens)
    got, _ = primary_pass(twin, own, tokens)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_directions_hold_what_the_samples_share() -> None:
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    samples = [rng.normal(size=(80, 2)) @ basis[:2] * 100, rng.normal(size=(80, 1)) @ basis[2:3]]
    turn = drafters.directions(samples, 3)
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(turn @ turn.T, basis[:3].T @ basis[:3], atol=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    arguments = [str(a) for a in ("demo:stdlib-mini", "--out", out, *SIZES)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return out


@pytest.mark.slow
def test_the_pair_has_a_reduced_drafter_that_learned(trained: Path) -> None:
    made = read_checkpoint(trained / "pair")
    assert made.config.is_tandem and made.config.drafter.vocab_size == 300
    rows = np.asarray(made.params["drafter"]["vocabulary.rows"])
    assert (rows >= 0).sum() == 300
    assert set(made.params) == {"primary", "drafter", "router"}
    small = drafters.as_trained(made.config)
    shards = sorted((trained / "features" / "x6-x12" / "held_out").iterdir())
    held_out = Features(shards, small.layer_map, rows)
    kept = np.flatnonzero(rows >= 0)
    before = drafters.begin(small, made.params["primary"], kept, [], "random")
    untrained = evaluate(small, before, held_out)
    measures = json.loads((trained / "pair.json").read_text())["measures"]
    assert [row["block"] for row in measures["tandem"]] == [1, 2, 4, 8]
    for row, first in zip(measures["tandem"], untrained, strict=True):
        assert 0 < row["relative_tv"] < first["relative_tv"] < 1
        assert row["ce"] < first["ce"]
    assert 0 <= measures["router"]["error"] < 0.5
