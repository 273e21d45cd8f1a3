"""`bench-executors` on a tiny bundle, with both engines that run ONNX graphs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tandem_export.cli import main
from tandem_export.errors import BundleError
from tandem_export.measure import executors
from tandem_export.measure.process.footprint import measure_cost
from tandem_export.runtime.executors import ExecutorSpec
from tests.bundle import sample
from tests.onnx_bundles import shared_bundle

ROLES = ("prefill", "primary_block", "drafter_step")
ENGINES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the command wrote and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    prompts = folder / "prompts.json"
    prompts.write_text(json.dumps([[3, 1, 2], [5, 6]]))
    bundle = shared_bundle("tandem", "onnx", roles=ROLES)
    options = ["--prompts", "2", "--max-new-tokens", "5", "--repetitions", "2", "--threads", "1"]
    files = ["--prompts-file", str(prompts), "--out", str(folder / "out.json")]
    command = ["bench-executors", str(bundle.path), "--executors", ",".join(ENGINES)]
    result = CliRunner().invoke(main, [*command, *options, *files, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads((folder / "out.json").read_text()), json.loads(result.stdout), bundle


def test_the_file_holds_what_is_printed(found):
    written, printed, _ = found
    assert written == printed


def test_every_engine_has_a_line_for_every_batch(found):
    lines = found[0]["lines"]
    assert [(line["executor"], line["batch"]) for line in lines] == [(e, 2) for e in ENGINES]
    for line in lines:
        figures = {name: v for name, v in line.items() if name not in ("executor", "batch")}
        assert len(figures) == 7
        assert all(value > 0 for value in figures.values())


def test_the_cost_of_a_process_counts_the_engine(found):
    written, _, bundle = found
    stored = (bundle.path / "weights.safetensors").stat().st_size / 2**20
    assert [cost["executor"] for cost in written["costs"]] == ENGINES
    for cost in written["costs"]:
        assert cost["weights"] == pytest.approx(stored)
        assert cost["load_seconds"] > 0
        # An engine's own code: megabytes, of which a part is no file's.
        assert cost["resident"] >= cost["proportional"] > cost["anonymous"] > 1


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(BundleError, match=r"could not load .*Got: .*not a bundle"):
        measure_cost(tmp_path, ExecutorSpec.parse("onnxruntime"))


@pytest.fixture
def expired(tmp_path: Path) -> Path:
    bundle = shared_bundle("tandem", "onnx", roles=ROLES)
    folder = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    sample.edit(folder, lambda values: values["not_after"].update(onnx="2000-01-01"))
    return folder


def test_an_expired_bundle_is_refused_before_an_engine_is_loaded(
    expired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_load", lambda *_: pytest.fail("an engine was loaded"))
    result = CliRunner().invoke(main, ["bench-executors", str(expired)])
    assert result.exit_code == 2
    assert "expired: `onnx` on 2000-01-01" in result.stderr


def test_an_expired_bundle_is_measured_if_it_is_allowed(expired: Path) -> None:
    (expired.parent / "prompts.json").write_text("[[3, 1, 2]]")
    command = ["bench-executors", str(expired), "--allow-expired", "--json", "--executors"]
    few = ["--prompts", "1", "--max-new-tokens", "2", "--repetitions", "1", "--threads", "1"]
    file = ["--prompts-file", str(expired.parent / "prompts.json")]
    result = CliRunner().invoke(main, [*command, "onnxruntime,onnxruntime", *few, *file])
    assert result.exit_code == 0, result.stderr
    written = json.loads(result.stdout)
    assert [line["executor"] for line in written["lines"]] == ["onnxruntime"], "each once"
    assert [cost["executor"] for cost in written["costs"]] == ["onnxruntime"]
