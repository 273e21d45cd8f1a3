"""The script and the page for owners of weights."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tandem_export.checkpoint import read_checkpoint
from tandem_export.errors import CheckpointError
from tandem_export.model import PARTS, shapes
from tests.model.reference import rotate

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "own_weights" / "write_checkpoint.py"
PAGE = (ROOT / "docs" / "own_weights.md").read_text(encoding="utf-8")


@pytest.fixture
def script() -> dict:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def sources(tmp_path: Path, script: dict) -> tuple[str, str]:
    """WEIGHTS.npz and TOKENIZER.json."""
    draw = np.random.default_rng(0)
    arrays = {
        f"{part}/{name}": draw.normal(0, 0.2, shape)
        for part in PARTS
        for name, shape in shapes(script["CONFIG"], part).items()
    }
    np.savez(tmp_path / "weights.npz", **arrays)  # pyright: ignore[reportArgumentType]
    words = {"<end>": 0} | {f"w{i}": i for i in range(1, 64)}
    Tokenizer(models.WordLevel(words, unk_token="<end>")).save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "weights.npz"), str(tmp_path / "tokenizer.json")


def test_the_script_has_60_lines_and_writes_a_checkpoint_that_the_page_compares(
    script: dict, sources: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 60
    script["main"](*sources, str(tmp_path / "pair"))
    made, given = read_checkpoint(tmp_path / "pair"), np.load(sources[0])
    for part, tensors in made.params.items():
        for name, array in tensors.items():
            assert (array == given[f"{part}/{name}"].astype(np.float32)).all()
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/own_weights.md", "exec"), {})


def test_a_missing_tensor_is_named(script: dict, sources: tuple[str, str], tmp_path: Path) -> None:
    arrays = dict(np.load(sources[0]))
    del arrays["drafter/projection.0.weight"]
    np.savez(sources[0], **arrays)
    with pytest.raises(CheckpointError, match=r"tensor `projection\.0\.weight` is missing"):
        script["main"](*sources, str(tmp_path / "pair"))


def test_interleaved_heads_become_two_halves(script: dict) -> None:
    """Rotation of pairs (x[2i], x[2i + 1]), then reordered, is rotation of halves."""
    H, freq = 8, [1.0, 0.3, 0.1, 0.03]
    draw = np.random.default_rng(1)
    weight, x = draw.normal(size=(5, 2 * H)), draw.normal(size=5)
    heads = (x @ weight).reshape(2, H // 2, 2) @ np.array([1, 1j])
    turned = heads * np.exp(1j * 7 * np.array(freq))
    halves = (x @ script["halves_first"](weight, H)).reshape(2, H)
    for head in range(2):
        got = rotate(halves[head], 7, freq)
        np.testing.assert_allclose(got[: H // 2] + 1j * got[H // 2 :], turned[head])


def test_the_page_names_tensors_that_exist(script: dict) -> None:
    config = script["CONFIG"]
    known = {
        re.sub(r"layers\.\d+|projection\.\d+", _counted, n)
        for p in PARTS
        for n in shapes(config, p)
    }
    table = PAGE.split("## The tensors")[1].split("## Where")[0]
    named = set(
        re.findall(r"`((?:layers|projection|embedding|final_norm|hidden|out)[\w.{}]*)`", table)
    )
    assert named and named <= known
    short = {f"layers.{{j}}.attention.{x}.weight" for x in "kv"}
    short |= {f"layers.{{j}}.ff.{x}.weight" for x in ("up", "down")}
    assert known - named == short  # `.k.weight` and the like, behind the first of their row


def _counted(match: re.Match[str]) -> str:
    return match[0].split(".")[0] + ".{j}"
