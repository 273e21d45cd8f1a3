"""What the program says: options by their names, extras that exist, help that is whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from tandem_export.cli import choices, main
from tandem_export.cli.options import common
from tandem_export.cli.words import in_options
from tandem_export.graphs import BuildOptions
from tandem_export.graphs.options import AttentionForm
from tandem_export.measure.speed.candidates import FAMILIES
from tandem_export.runtime.executors import ENGINES, executor_names
from tandem_export.runtime.request.params import MODES, RULES
from tandem_export.targets import TARGETS
from tandem_export.tpu.chips import SLICES as CHIPS
from tandem_export.tpu.plan import PRESETS
from tests.cli.test_commands import run

ROOT = Path(__file__).parents[2]


def commands() -> list[tuple[str, click.Command]]:
    """Every command with its name."""
    found: list[tuple[str, click.Command]] = []
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", own) for inner, own in command.commands.items()]
        else:
            found.append((name, command))
    return found


@click.command()
@click.option("--top-k", type=int)
@click.option("--graphs", "roles")
@click.option("--overwrite", is_flag=True)
@common
def example(**given: object) -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`top_k` must be 0", "`--top-k` must be 0"),
        ("pass `overwrite=True`, or `roles`", "pass `--overwrite`, or `--graphs`"),
        ("`graphs` must name", "`--graphs` must name"),
        ("`gamma` is another command's", "`gamma` is another command's"),
        ("`tandem.json`: `roles` is of the file", "`tandem.json`: `roles` is of the file"),
    ],
)
def test_names_become_options(text: str, expected: str) -> None:
    assert in_options(text, example) == expected
    assert in_options(text, None) == text


def extras() -> set[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def test_every_install_hint_names_extras_that_exist() -> None:
    """In the code, the docs, and the metadata; names that a program fills in are tested below."""
    files = [
        *(ROOT / "tandem_export").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("*/*/README.md"),
        ROOT / "pyproject.toml",
    ]
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    hints = [
        (file, extra)
        for file, text in texts.items()
        for listed in re.findall(r"tandem-export\[([^\]{]+)\]", text)
        for extra in listed.split(",")
    ]
    assert len(hints) > 20
    assert [(str(file), extra) for file, extra in hints if extra not in extras()] == []
    needed = [e for text in texts.values() for e in re.findall(r'needs\("(\w+)"', text)]
    assert len(needed) > 5 and set(needed) <= extras()


def test_an_executor_whose_engine_is_missing_names_its_extra() -> None:
    assert {facts.extra for facts in ENGINES.values()} <= extras()


@pytest.mark.parametrize("name", ["import", "plan", "tpu", "stablehlo"])
def test_an_extra_that_needs_no_tensorflow_brings_none(name: str) -> None:
    import tomllib

    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    waiting, seen = [name], set()
    while waiting:
        for entry in own[waiting.pop()]:
            inner = re.fullmatch(r"tandem-export\[(.+)\]", entry)
            waiting += inner[1].split(",") if inner else []
            seen.add(re.split(r"[\[<>=;~ ]", entry)[0])
    assert not {n for n in seen if n.startswith(("tensorflow", "onnx", "jax2onnx"))}


def test_stablehlo_builds_plan_and_inspect_load_no_tensorflow() -> None:
    """In a process where it cannot be imported."""
    code = """if True:
        import sys
        for name in ("tensorflow", "onnx", "onnxruntime", "jax2onnx", "matplotlib"):
            sys.modules[name] = None
        from tandem_export.cli import main
        for arguments in (["plan", "2b"], ["checkpoint", "inspect", "demo:stdlib-mini"],
                          ["build", "demo:stdlib-mini", "--out", "x", "--cache", "0"]):
            try:
                main(arguments)
            except SystemExit as end:
                print("exit", end.code)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert re.findall(r"^exit (\d)$", done.stdout, re.MULTILINE) == ["0", "0", "2"], done.stderr
    assert "`--cache` must be" in done.stderr


def test_the_choices_are_those_of_the_library() -> None:
    assert set(choices.TARGETS) == set(TARGETS)
    assert choices.MODES == MODES
    assert set(choices.RULES) == set(RULES) and choices.PRESETS == PRESETS
    assert set(choices.CHIPS) == set(CHIPS) and set(choices.FAMILIES) == set(FAMILIES)
    assert AttentionForm.__args__ == choices.ATTENTION  # type: ignore[attr-defined]
    assert BuildOptions().platforms == choices.PLATFORMS
    assert set(choices.EXECUTORS) == set(executor_names())


def completed(*words: str) -> list[str]:
    shell = BashComplete(main, {}, "tandem-export", "_TANDEM_EXPORT_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pl",), ["plan"]),
        (("build", "demo:stdlib-mini", "--format", "s"), ["stablehlo", "savedmodel"]),
        (("build", "x", "--graphs", "prefill,round"), ["prefill,round", "prefill,round_router"]),
        (("build", "demo:stdlib-mini-"), ["demo:stdlib-mini-independent", "demo:stdlib-mini-"]),
        (("generate", "x", "y", "--mode", "standalone_"), ["standalone_free"]),
        (("verify", "x", "--executor", "openvino:m"), ["openvino:mapped"]),
        (("plan", "2"), ["270m", "2b", "2"]),
        (("plan", "2b", "--chip", "v5e-4"), ["v5e-4"]),
    ],
)
def test_what_completes_in_a_shell(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == expected


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: str(value)[:20])
def test_every_option_says_what_it_takes(name: str, command: click.Command) -> None:
    """A metavar or choices of its own for texts, a help text or a default for everything."""
    context = click.Context(command, info_name=name, show_default=True)
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            _, text = param.get_help_record(context) or ("", "")
            assert text, f"{name} {param.opts}"
            plain = param.make_metavar(context) == "TEXT"
            assert not plain or param.name in ("stop", "system"), f"{name} {param.opts}"


def test_the_package_is_a_program() -> None:
    command = [sys.executable, "-m", "tandem_export", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == run("--version").stdout
