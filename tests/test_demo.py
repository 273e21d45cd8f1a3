"""The embedded demo pair: it reads, builds small and writes code."""

from __future__ import annotations

from pathlib import Path

import pytest

import tandem_export
from tandem_export.bundle import Bundle, open_bundle
from tandem_export.checkpoint import Checkpoint, read_checkpoint
from tandem_export.data import DEMOS, demo_path
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return read_checkpoint("demo:stdlib-mini")


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default grid: every role and bucket."""
    path = tmp_path_factory.mktemp("demo") / "bundle"
    return build(checkpoint, BuildOptions(), path, check_values=False)


@pytest.mark.parametrize("name", sorted(DEMOS))
def test_demos_read_and_share_the_primary(name: str, checkpoint: Checkpoint) -> None:
    demo = read_checkpoint(f"demo:{name}")
    assert demo.source["primary"] == checkpoint.source["primary"]
    assert demo.source["tokenizer"] == checkpoint.source["tokenizer"]


def test_the_package_data_is_small() -> None:
    folder = Path(demo_path("stdlib-mini")).parent
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 20 * MEGABYTE


def test_tandem_beats_the_baseline_of_equal_budget(checkpoint: Checkpoint) -> None:
    table = checkpoint.provenance["measures"]["table"]
    tv = {(row["drafter"], row["block"]): row["relative_tv"] for row in table}
    assert tv["Tandem-Distil", 2] < tv["Distil", None]


def test_a_bundle_is_its_weights_and_little_more(bundle: Bundle) -> None:
    path = bundle.path
    weights = sum(tensor.nbytes for tensor in bundle.weights().values())
    tokenizer = bundle.tokenizer_path.stat().st_size
    whole = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert whole <= 1.01 * weights + tokenizer + 5 * MEGABYTE


def test_the_demo_writes_python(bundle: Bundle) -> None:
    engine = tandem_export.load(bundle.path, modes=("speed",))
    params = tandem_export.SamplingParams(max_new_tokens=32)
    (result,) = engine.generate("class Stack:\n    def __init__(self", params)
    assert result.text.startswith((")", ",")), result.text
    assert engine.stats.compilations_after_warm_up == 0
    assert open_bundle(bundle.path).manifest.model.kind == "tandem"
