"""`plan` and `compile` from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tandem_export.bundle import open_bundle
from tandem_export.cli import main
from tandem_export.runtime.executors.jax import compiler_options
from tests.parity.bundles import shared_bundle
from tests.tpu.compile.bundles import tpu_bundle
from tests.tpu.plan.test_presets import TINY


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    file = tmp_path / "pair.toml"
    file.write_text(TINY.format(kind="tandem"))
    return file


@pytest.mark.parametrize("command", ["plan", "compile"])
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples:\n    tandem-export " + command in result.stdout


def test_plan_prints_and_writes(pair: Path, tmp_path: Path) -> None:
    options = ("--batch", "1,4", "--acceptance", "0.9", "--chip", "v5e-1")
    files = ("--out", tmp_path / "plan.json", "--html", tmp_path / "plan.html")
    shown = run("plan", pair, *options, *files)
    assert shown.exit_code == 0, shown.stderr
    assert "roofline estimates" in shown.stdout and "batch * (gamma + 1) <= 240" in shown.stdout
    values = json.loads((tmp_path / "plan.json").read_text())
    assert [bucket["batch"] for bucket in values["buckets"]] == [1, 4]
    assert json.loads(run("plan", pair, *options, "--json").stdout) == values
    command = "tandem-export build CHECKPOINT --out DIR --batch 1,4 --gamma "
    assert command in shown.stdout.split("Next:")[1]
    text = (tmp_path / "plan.html").read_text()
    assert text.index("Most tokens per second: ") < text.index(command) < text.index("<svg")


def test_plan_of_a_checkpoint() -> None:
    result = run("plan", "demo:stdlib-mini", "--cache", 256, "--quantize", "int8", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["options"]["storage"] == "int8"


def test_compile_keeps_its_report_in_the_manifest(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(tpu_bundle(), tmp_path / "bundle")
    options = ("--graphs", "drafter_step", "--chip", "v5e", "--out", tmp_path / "report.json")
    result = run("compile", tmp_path / "bundle", *options)
    assert result.exit_code == 0, result.stderr + result.stdout
    assert "drafter_step_b2_t1" in result.stdout
    assert "compiler estimate, uncalibrated" in result.stdout
    values = json.loads((tmp_path / "report.json").read_text())
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest.tuning.compile == values
    given = compiler_options(bundle, "drafter_step_b2_t1", "tpu")
    assert given and given == values["compiler_options"]
    again = json.loads(run("compile", tmp_path / "bundle", *options, "--json").stdout)
    assert again["graphs"][0]["cached"] is True
    assert 0 < again["seconds"] < values["seconds"]


def test_tuning_is_kept_for_the_runtime(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(tpu_bundle(), tmp_path / "bundle")
    options = ("--graphs", "drafter_step", "--tune")
    result = run("compile", tmp_path / "bundle", *options)
    assert result.exit_code == 0, result.stderr + result.stdout
    tuning = open_bundle(tmp_path / "bundle").manifest.tuning
    compiled = tuning.compile
    assert compiled is not None
    assert [trial["vmem_mib"] for trial in compiled["trials"]] == [None, 32, 64]
    assert len(compiled["chosen"]) == 1 and result.stdout.count("best") == 1
    bundle = open_bundle(tmp_path / "bundle")
    chosen = tuning.compiler_options["tpu"]["drafter_step_b2_t1"]
    assert compiler_options(bundle, "drafter_step_b2_t1", "tpu") == chosen
    assert compiler_options(bundle, "drafter_step_b2_t1", "cpu") == {}


def test_forms_stand_side_by_side(pair: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    what = ("--batch", "1", "--cache", "128", "--graphs", "drafter_step")
    report = tmp_path / "report.json"
    result = run("compile", pair, *what, "--attention", "two_part,kernel", "--out", report)
    assert result.exit_code == 0, result.stderr + result.stdout
    values = json.loads(report.read_text())
    assert [(t["attention"], t["kernels"] > 0) for t in values["trials"]] == [
        ("two_part", False),
        ("kernel", True),
    ]
    assert len(values["graphs"]) == 1 and values["chosen"] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("plan", "8b"), "What fits: no batch at this cache"),
        (("plan", "2b", "--chip", "v4"), "'v4' is not one of"),
        (("plan", "2b", "--acceptance", "much"), "Got: "),
        (("compile", "BUNDLE"), "must be lowered for tpu"),
        (("compile", "2b", "--chip", "v5e-4", "--attention", "kernel"), "is for one chip"),
        (("compile", "2b", "--attention", "flash"), "must be some of in_cache, two_part, kernel"),
        (("compile", "BUNDLE", "--graphs", "generate"), "`--graphs` must name roles of the bundle"),
        (("plan", "9b"), "a preset (270m, 2b, 8b), a TOML file of configs, or a checkpoint. Got"),
        (("compile", "9b"), "a preset (270m, 2b, 8b)"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments, text: str) -> None:
    result = run(*(str(shared_bundle()) if a == "BUNDLE" else a for a in arguments))
    assert result.exit_code == 2 and text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and result.stdout == ""


def test_the_old_name_of_an_option_works_with_a_warning() -> None:
    old = run("plan", "270m", "--target", "v5e-4", "--batch", "1")
    new = run("plan", "270m", "--chip", "v5e-4", "--batch", "1")
    assert old.exit_code == 0 and old.stdout == new.stdout
    assert "--target is now --chip" in old.stderr and new.stderr == ""
    both = run("plan", "270m", "--target", "v5e-1", "--chip", "v5e-4", "--batch", "1")
    assert both.stdout == new.stdout
