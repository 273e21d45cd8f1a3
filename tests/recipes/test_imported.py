"""The recipe from an imported checkpoint to a pair, at toy sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("optax", reason="training needs optax (the extra `train`)")

from recipes.imported import features as cache
from recipes.imported.drafter import as_trained, start
from recipes.imported.stages import evaluate
from recipes.imported.text import as_rows, kept_tokens
from recipes.imported.train import main
from tandem_export.checkpoint import read_checkpoint

SIZES = ("--windows", 8, "--tokens", 300, "--layers", 2, "--width", 64, "--steps", 40)


def test_kept_tokens_are_the_most_frequent_and_zero() -> None:
    class Texts:
        train = np.array([[3, 3, 3, 7, 7, 5, 9, 9, 9, 9]])

    kept = kept_tokens(Texts(), 3, 12)  # type: ignore[arg-type]
    assert kept.tolist() == [0, 3, 9]
    assert as_rows(np.array([9, 4, 3, 0]), kept, 12).tolist() == [2, 0, 1, 0]


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
    assert (made.params["drafter"]["vocabulary.rows"] >= 0).sum() == 300
    assert set(made.params) == {"primary", "drafter", "router"}
    kept = np.flatnonzero(made.params["drafter"]["vocabulary.rows"] >= 0)
    small = as_trained(made.config)
    before = start(small, np.asarray(made.params["primary"]["embedding.weight"])[kept])
    shards = sorted((trained / "features" / "held_out").glob("*.npz"))
    untrained = evaluate(small, before, cache.Features(shards, small.layer_map))
    measures = json.loads((trained / "measures.json").read_text())
    assert [row["block"] for row in measures["held_out"]] == [1, 2, 4, 8]
    for row, first in zip(measures["held_out"], untrained, strict=True):
        assert 0 < row["relative_tv"] < first["relative_tv"] < 1


@pytest.mark.slow
def test_cached_features_are_the_primarys(trained: Path) -> None:
    """One window recomputed; a shard that is there is not computed again."""
    made = read_checkpoint(trained / "pair")
    shards = sorted((trained / "features" / "train").glob("*.npz"))
    stored, before = np.load(shards[0]), shards[0].stat().st_mtime_ns
    rows = np.where(made.params["drafter"]["vocabulary.rows"] >= 0)[0]
    assert len(stored["rows"]) == min(8, cache.SHARD)
    assert (np.diff(stored["top_p"].astype(np.float32), axis=-1) <= 0).all()
    assert (stored["top_p"].astype(np.float32).sum(-1) <= 1.01).all()
    reported: list[int] = []
    windows = np.zeros((8, 257), np.int32)
    paths = cache.compute(
        made.config, {}, windows, rows, shards[0].parent, lambda done, _: reported.append(done)
    )
    assert paths == shards and reported == [8]
    assert shards[0].stat().st_mtime_ns == before
