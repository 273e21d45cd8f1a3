"""Every command, on tiny bundles that were built for real."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tandem_export.cli import main
from tests.parity.bundles import COMPILED, PROMPTS, shared_bundle, shared_checkpoint

KEPT = ("--compilation-cache", COMPILED)
COMMANDS = (
    *("build", "inspect", "generate", "verify", "evaluate", "bench", "bench-serving"),
    *("stand-in", "checkpoint inspect", "checkpoint compare"),
)


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Examples:\n    tandem-export " + command in result.stdout
    assert "--json" in result.stdout and "--debug" in result.stdout


def test_no_command_shows_the_help() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage:") and "verify" in result.stderr


def test_build_and_inspect(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    buckets = ("--batch", "1", "--gamma", "2", "--prompt", "4", "--cache", "16", "--max-new", "4")
    roles = ("--graphs", "prefill,insert,round", "--platform", "cpu")
    result = run("build", shared_checkpoint(), "--out", out, *buckets, *roles, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    names = [graph["name"] for graph in facts["graphs"]]
    assert names == ["prefill_b1_t4", "insert_b1", "round_b1_g0", "round_b1_g2"]
    assert facts.pop("left_out") == [] and result.stderr == ""
    assert json.loads(run("inspect", out, "--json").stdout) == facts
    shown = run("inspect", out)
    assert shown.exit_code == 0 and "round_b1_g2" in shown.stdout and "expired" in shown.stdout
    card = (out / "README.md").read_text()
    assert "# bundle\n" in card and "* P0, exact: " in card and "states none" in card
    again = run("build", shared_checkpoint(), "--out", out, *buckets, *roles)
    assert again.exit_code == 2 and "overwrite" in again.stderr


def test_what_a_build_leaves_out_is_said(tmp_path: Path) -> None:
    buckets = ("--batch", "1", "--gamma", "2", "--prompt", "4", "--cache", "9", "--max-new", "4")
    roles = ("--graphs", "insert,generate", "--platform", "cpu")
    refused = run("build", shared_checkpoint(), "--out", tmp_path / "a", *buckets, *roles)
    assert refused.exit_code == 2 and "`--cache` of at least 10, or `--max-new` of at most 3" in (
        refused.stderr
    )
    assert list(tmp_path.iterdir()) == []
    two = ("--prompt", "2,4", "--json")
    result = run("build", shared_checkpoint(), "--out", tmp_path / "b", *buckets, *roles, *two)
    assert result.exit_code == 0, result.stderr
    [text] = json.loads(result.stdout)["left_out"]
    assert result.stderr == f"Warning: {text}.\n" and "prompt bucket 4" in text


def test_options_of_a_savedmodel_need_that_format(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "a")
    for option, value in (("--slots", 2), ("--model-version", 3)):
        refused = run("build", shared_checkpoint(), *out, "--format", "onnx", option, value)
        text = f"Error: `{option}` needs `--format savedmodel`. Got: --format onnx\n"
        assert (refused.exit_code, refused.stderr) == (2, text)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_inspect() -> None:
    facts = json.loads(run("checkpoint", "inspect", shared_checkpoint(), "--json").stdout)
    assert facts["kind"] == "tandem" and set(facts["parts"]) == {"primary", "drafter", "router"}
    shown = run("checkpoint", "inspect", shared_checkpoint())
    assert shown.exit_code == 0 and f"{facts['parameters']:,} parameters" in shown.stdout


def test_generate_prints_text_and_statistics_apart() -> None:
    options = ("--max-new-tokens", 6, "--gamma", 2)
    plain = run("generate", shared_bundle(), "w1 w2 w3", *options, *KEPT)
    assert plain.exit_code == 0, plain.stderr
    assert "acceptance by position" in plain.stderr and "acceptance" not in plain.stdout
    as_json = run("generate", shared_bundle(), "w1 w2 w3", *options, *KEPT, "--json", "--logprobs")
    [answer] = json.loads(as_json.stdout)["answers"]
    assert plain.stdout == answer["text"] + "\n" and as_json.stderr == ""
    assert len(answer["tokens"]) == len(answer["logprobs"]) > 0
    assert answer["stats"]["drafted"] > 0


def test_generate_reads_stdin_and_heads_several_answers() -> None:
    options = ("--max-new-tokens", 3, "--num-samples", 2, "--temperature", 1, "--mode", "primary")
    result = run("generate", shared_bundle(), "-", "w5", *options, *KEPT, stdin="w1 w2")
    assert result.exit_code == 0, result.stderr
    heads = [line for line in result.stdout.splitlines() if line.startswith("---")]
    assert heads == [f"--- prompt {p}, sample {s}" for p in (0, 1) for s in (0, 1)]


def test_verify_prints_a_verdict(prompts: Path) -> None:
    options = ("--prompts", 3, "--max-new-tokens", 5, "--samples", 0, "--prompts-file", prompts)
    result = run("verify", shared_bundle(), *options, *KEPT)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "P0 exact: verified"
    last = result.stderr.splitlines()[-1].split(": ")[0].split(" of ")
    assert last[0] == last[1]  # progress as lines: this is no terminal


def test_verify_fails_with_exit_code_1(prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a comparison that never holds."""
    monkeypatch.setattr("tandem_export.parity.trace._same_bits", lambda one, other: False)
    options = ("--prompts", 1, "--max-new-tokens", 3, "--samples", 0, "--prompts-file", prompts)
    result = run("verify", shared_bundle(), *options, *KEPT, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False and report["checks"][1]["divergences"]


def test_bench_writes_what_it_prints(prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    small = ("--prompts", 1, "--max-new-tokens", 4, "--repetitions", 1, "--families", "speed")
    options = (*small, "--no-startup", "--prompts-file", prompts, "--out", out)
    result = run("bench", shared_bundle(), *options, *KEPT)
    assert result.exit_code == 0, result.stderr
    assert "SPEED, gamma 2" in result.stdout and "tau" not in result.stdout
    assert "the best of each" in result.stdout and "(gamma 2)" in result.stdout
    lines = json.loads(out.read_text())["tables"][0]["lines"]
    assert [line["family"] for line in lines] == ["primary", "primary", "speed"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("build", "nowhere", "--out", "x"), "there is no checkpoint at 'nowhere'"),
        (("build", "x", "--out", "y", "--batch", "1,b"), "such as 1,4. Got: '1,b'"),
        (("build", "x", "--out", "y", "--dtype", "int8"), "'--dtype': 'int8' is not one of"),
        (("build", "x", "--out", "y", "--graphs", "rounds"), "must be some of prefill, "),
        (("build", "BUNDLE", "--out", "y"), "is a bundle, and this command takes a checkpoint"),
        (("build", "m.pt", "--out", "y"), "import m.pt --config pair.toml --map names.toml"),
        (("build", "CHECKPOINT", "--out", "BUNDLE"), "is a bundle already. Pass `--overwrite`"),
        (("build", "CHECKPOINT", "--out", "y", "--cache", "0"), "`--cache` must be"),
        (("inspect", "CHECKPOINT"), "is a checkpoint, and this command takes a bundle. Make a"),
        (("generate", "demo:stdlib-mini", "x"), "build demo:stdlib-mini --out DIR"),
        (("verify", "m.gguf"), "import m.gguf --drafter PATH --out DIR"),
        (("import", "m.pt", "--out", "y"), "pass `--config`, and `--map` if they have names"),
        (("stand-in", "BUNDLE"), "has no SavedModel. Build it with --format savedmodel"),
        (("inspect", "nowhere"), "Directory 'nowhere' does not exist"),
        (
            ("generate", "BUNDLE", "w1", "--temperature", "-1"),
            "`--temperature` must be 0 (greedy), or a number of",
        ),
        (("generate", "BUNDLE", "w1", "--gamma", "9"), "`--gamma` must be at most 2"),
        (("generate", "BUNDLE", "w1", "--executor", "abacus"), "`--executor` must be an engine"),
        (("verify", "BUNDLE", "--batch", "9"), "`--batch` must be from"),
        (("checkpoint", "inspect", "nowhere"), "there is no checkpoint"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments, text) -> None:
    places = {"BUNDLE": shared_bundle, "CHECKPOINT": shared_checkpoint}
    filled = [str(places[a]()) if a in places else a for a in arguments]
    result = run(*filled)
    assert result.exit_code == 2
    *before, error = result.stderr.strip().splitlines()
    assert error.startswith("Error: ") and text in error and result.stdout == ""
    assert all(line.startswith("loading ") for line in before) and len(before) < 2
    with_json = run(*filled, "--json")
    assert text in json.loads(with_json.stdout)["error"]["message"]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run("inspect", tmp_path, "--debug")
    assert type(result.exception).__name__ == "BundleError"


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared_bundle(), copy)
    (copy / "tokenizer.json").write_text("{}")
    result = run("inspect", copy)
    assert result.exit_code == 2 and "'tokenizer.json'" in result.stderr


def test_prompts_must_be_a_list(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    file.write_text('{"a": 1}')
    result = run("verify", shared_bundle(), "--prompts-file", file)
    assert result.exit_code == 2 and "must be a JSON list of texts" in result.stderr


def test_inspect_refuses_weights_that_cannot_be_read(tmp_path: Path) -> None:
    from tests.bundle import sample

    path = sample.write(tmp_path / "b")
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[8] ^= 1
    (path / "weights.safetensors").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    sample.edit(path, lambda values: values["files"].update({"weights.safetensors": entry}))
    result = run("inspect", path)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: `weights.safetensors, header`: not a JSON document")
