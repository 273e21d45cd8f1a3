"""The embedded demo pair: it reads, builds small, and its bundle holds P0 on held-out prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

import tandem_export
from tandem_export.bundle import Bundle, open_bundle
from tandem_export.checkpoint import Checkpoint, read_checkpoint
from tandem_export.data import DEMOS, demo_path
from tandem_export.graphs import BuildOptions
from tandem_export.parity import VerifyOptions, verify
from tandem_export.targets import build

PROMPTS = 64
NEW_TOKENS = 16
MEGABYTE = 1_000_000


def options(dtype: str) -> BuildOptions:
    return BuildOptions(prompt=(64,), cache=128, max_new=32, dtype=dtype, platforms=("cpu",))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return read_checkpoint("demo:stdlib-mini")


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def bundle(
    request: pytest.FixtureRequest,
    checkpoint: Checkpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    path = tmp_path_factory.mktemp(request.param) / "bundle"
    return build(checkpoint, options(request.param), path, check_values=False)


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


@pytest.mark.slow
def test_p0_on_held_out_prompts(bundle: Bundle) -> None:
    """Gamma 1, 3, 5, 8; batch 1 and 4, ragged; router on and off; own and hostile drafter."""
    cache = bundle.path.parent / "compiled"
    asked = VerifyOptions(
        prompts=PROMPTS, max_new_tokens=NEW_TOKENS, samples=0, compilation_cache=cache
    )
    report = verify(bundle.path, asked)
    assert report.parity == "P0"
    assert report.passed, [check for check in report.checks if not check.passed]
    assert {check.level for check in report.checks} == {"P0"}


def test_the_demo_writes_python(bundle: Bundle) -> None:
    engine = tandem_export.load(bundle.path, modes=("speed",))
    params = tandem_export.SamplingParams(max_new_tokens=32)
    (result,) = engine.generate("class Stack:\n    def __init__(self", params)
    assert result.text.startswith((")", ",")), result.text
    assert engine.stats.compilations_after_warm_up == 0
    assert open_bundle(bundle.path).manifest.model.kind == "tandem"
