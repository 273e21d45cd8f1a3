from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from tandem_export.cli import main
from tandem_export.measure import bench_load
from tests.onnx_bundles import shared_bundle


def test_every_bucket_and_all_of_them_are_measured() -> None:
    path = shared_bundle("tandem", "onnx", batch=(1, 2)).path
    report = bench_load(
        path,
        "onnxruntime",
        prompts=[[1, 2, 3]] * 8,
        requests=6,
        longest=8,
        repetitions=1,
        threads=1,
    )
    assert [line.name for line in report.lines] == ["one by one", "1", "2", "of 1 2"]
    assert report.lines[0].against_one_by_one == 1
    for line in report.lines:
        assert line.tokens_per_second > 0 and 0 < line.host_share < 1
        assert 0 < line.first_p50 <= line.first_p95 and 0 < line.token_p50 <= line.token_p95
    waits = [line.first_p95 for line in report.lines]
    assert waits[0] < min(waits[1:]), "who comes alone waits for nobody"
    assert [(move.before, move.after) for move in report.moves] == [(1, 2), (2, 1)]
    assert all(move.seconds > 0 and move.rounds > 0 for move in report.moves)


def test_the_command(tmp_path: Path) -> None:
    path, prompts = shared_bundle("tandem", "onnx", batch=(1, 2)).path, tmp_path / "prompts.json"
    prompts.write_text(json.dumps([[1, 2, 3]] * 8))
    options = ["--requests", "4", "--longest", "8", "--repetitions", "1", "--threads", "1"]
    options += ["--prompts-file", str(prompts), "--out", str(tmp_path / "load.json")]
    shown = CliRunner().invoke(main, ["bench-load", str(path), *options])
    assert shown.exit_code == 0, shown.stderr
    assert "one by one" in shown.stdout and "of 1 2" in shown.stdout
    report = json.loads((tmp_path / "load.json").read_text())
    assert report["requests"] == 4 and report["executor"] == "onnxruntime"
