"""Reference files, and what `compare` says of them; every fault is one paragraph."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem_export.checkpoint import Checkpoint, read_checkpoint, read_reference
from tandem_export.checkpoint.comparison.compare import compare
from tandem_export.checkpoint.comparison.npz import load_npz
from tandem_export.checkpoint.comparison.outputs import run_pair
from tandem_export.errors import CheckpointError
from tests.model.reference import decode
from tests.parity.bundles import shared_checkpoint
from tests.tiny import DRAFTER, FAMILIES, TANDEM, random_params

B, T, P = 2, 9, 5


def pair(config) -> Checkpoint:
    """A checkpoint in memory with random weights."""
    parts = ["primary", "drafter", *(["router"] if config.router else [])]
    params: Any = {
        p: {n: np.asarray(a) for n, a in random_params(config, p, seed).items()}
        for seed, p in enumerate(parts)
    }
    return dataclasses.replace(read_checkpoint(shared_checkpoint()), config=config, params=params)


def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 17, (B, T))


def save(path: Path, checkpoint: Checkpoint, **changes: Any) -> Path:
    """The checkpoint's own outputs as a reference, with changes; None leaves an array out."""
    prefix = P if checkpoint.config.is_tandem else 0
    arrays: Any = run_pair(checkpoint, tokens().astype(np.int32), prefix)
    arrays |= {"tokens": tokens(), "prefix": prefix} | changes
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_the_primary_is_that_of_plain_loops(family: str) -> None:
    config = dataclasses.replace(TANDEM, primary=FAMILIES[family])
    checkpoint = pair(config)
    outputs = run_pair(checkpoint, tokens().astype(np.int32), P)
    logits, activations = decode(config.primary, checkpoint.params["primary"], tokens()[1])
    np.testing.assert_allclose(outputs["primary.logits"][1], logits, atol=2e-4)
    for i, x in enumerate(activations):
        np.testing.assert_allclose(outputs[f"primary.activation.{i}"][1], x, atol=2e-4)


def test_a_drafter_without_a_prefix_is_a_decoder_of_its_own() -> None:
    """The independent pair's drafter, against plain loops; its windows, too."""
    drafter = dataclasses.replace(DRAFTER, sliding_window=3, window_pattern=(True, False))
    config = dataclasses.replace(
        TANDEM, drafter=drafter, kind="independent", layer_map=(), router=None
    )
    checkpoint = pair(config)
    outputs = run_pair(checkpoint, tokens().astype(np.int32), 0)
    logits, _ = decode(drafter, checkpoint.params["drafter"], tokens()[0])
    np.testing.assert_allclose(outputs["drafter.logits"][0], logits, atol=2e-4)


def test_the_optional_arrays_show_where_a_difference_begins(tmp_path: Path) -> None:
    checkpoint = pair(TANDEM)
    file = save(tmp_path / "x.npz", checkpoint)
    other = dataclasses.replace(checkpoint, config=dataclasses.replace(TANDEM, layer_map=(1, 2)))
    found = compare(other, read_reference(file, TANDEM), 1e-3)
    assert {each.output for each in found if not each.passed} == {
        "drafter.projected.0",
        "drafter.logits",
        "router.acceptance",
    }
    [drafted] = [each for each in found if each.output == "drafter.logits"]
    place = (drafted.sequence, drafted.position - P, drafted.index)
    assert drafted.expected == pytest.approx(np.load(file)["drafter.logits"][place])
    assert drafted.largest == pytest.approx(abs(drafted.expected - drafted.got))


def test_a_drafter_of_fewer_tokens_is_compared_where_it_knows_them(tmp_path: Path) -> None:
    config = dataclasses.replace(TANDEM, drafter=dataclasses.replace(DRAFTER, vocab_size=9))
    checkpoint = pair(config)
    rows = np.where(np.arange(17) < 9, np.arange(17), ~0).astype(np.int32)
    checkpoint.params["drafter"]["vocabulary.rows"] = rows
    logits = run_pair(checkpoint, tokens().astype(np.int32), P)["drafter.logits"].copy()
    logits[..., 9:] = -np.inf
    file = save(tmp_path / "x.npz", checkpoint, **{"drafter.logits": logits})
    assert all(each.passed for each in compare(checkpoint, read_reference(file, config), 1e-6))
    logits[0, 1, 8] += 0.1
    file = save(tmp_path / "x.npz", checkpoint, **{"drafter.logits": logits})
    [wrong] = [e for e in compare(checkpoint, read_reference(file, config), 1e-3) if not e.passed]
    assert (wrong.sequence, wrong.position, wrong.index) == (0, P + 1, 8)


BAD = {
    "no tokens": ({"tokens": None}, r"`tokens` must be whole numbers `\[B, T\]`\. Got: none"),
    "float tokens": ({"tokens": np.ones((B, T))}, r"Got: float64 \[2, 9\]"),
    "one axis": ({"tokens": np.ones(T, int)}, r"Got: int64 \[9\]"),
    "outside": ({"tokens": np.full((B, T), 17)}, r"must lie in 0 \.\. 16\. Got: 17 \.\. 17"),
    "no prefix": ({"prefix": None}, r"`prefix` must be one whole number from 2 to T - 2 = 7"),
    "one own row": ({"prefix": 8}, r"from 2 to T - 2 = 7\. Got: 8"),
    "missing": ({"router.acceptance": None}, r"Missing: \['router\.acceptance'\]"),
    "unknown": ({"logits": np.ones(3)}, r"Unknown: \['logits'\]"),
    "layer": ({"primary.activation.3": np.ones((B, T, 12))}, r"Unknown: \['primary\.activ"),
    "shape": ({"drafter.logits": np.ones((B, T, 17))}, r"of shape \[2, 4, 17\]\. Got: .* 9, 17\]"),
    "integers": ({"primary.logits": np.ones((B, T, 17), int)}, r"must be floats .* Got: int64"),
    "not finite": (
        {"router.acceptance": np.full((B, T - P), np.nan)},
        r"`router\.acceptance` must be finite\. Got: nan at \[0, 0\]",
    ),
    "infinite": ({"drafter.logits": np.full((B, T - P, 17), -np.inf)}, r"must be finite"),
    "objects": ({"tokens": np.array([[None]])}, r"must be an \.npz file of numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_reference_that_breaks_a_rule(tmp_path: Path, name: str) -> None:
    changes, message = BAD[name]
    file = save(tmp_path / "x.npz", pair(TANDEM), **changes)
    with pytest.raises(CheckpointError, match=r"`x\.npz`: .*" + message):
        read_reference(file, TANDEM)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    for data in (b"", b"PK\x03\x04", b"\x93NUMPY"):
        (tmp_path / "x.npz").write_bytes(data)
        with pytest.raises(CheckpointError, match=r"must be an \.npz file"):
            load_npz(tmp_path / "x.npz")


def test_a_file_that_inflates_out_of_proportion_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1_000_000))
    assert load_npz(tmp_path / "x.npz")["a"].shape == (1_000_000,)
    monkeypatch.setattr("tandem_export.checkpoint.comparison.npz._MOST_BYTES", 1_000_000)
    with pytest.raises(CheckpointError, match=r"its arrays may have 1000000 bytes\. Got: 8000128"):
        load_npz(tmp_path / "x.npz")
