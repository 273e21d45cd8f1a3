"""docs/how-to/tf-serving.md: its curl commands, as written, against the stand-in command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tandem_export.checkpoint import read_checkpoint
from tandem_export.graphs import BuildOptions
from tandem_export.targets import build

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "tf-serving.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with the graph that the page calls."""
    out = tmp_path_factory.mktemp("bundle") / "demo"
    options = BuildOptions(
        batch=(1,), gamma=(5,), prompt=(64,), cache=256, platforms=("cpu",), roles=("generate",)
    )
    pair = read_checkpoint("demo:stdlib-mini")
    build(pair, options, out, targets=("savedmodel",), check_values=False)
    return out


def test_the_curl_commands_work_as_written(bundle: Path) -> None:
    commands = re.findall(r"```sh\n(curl .*?)```", PAGE, re.DOTALL)
    assert len(commands) == 2
    serve = [sys.executable, "-m", "tandem_export", "stand-in", str(bundle), "--json"]
    ports = ("--grpc-port", "0", "--rest-port", "0")
    with subprocess.Popen([*serve, *ports], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline() for _ in range(4)]
            address = json.loads("".join(lines))["rest"]
            status, predicted = sorted((_run(c, address) for c in commands), key=len)
        finally:
            server.terminate()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    tokens = predicted["outputs"]["tokens"][0][: predicted["outputs"]["count"][0]]
    tokenizer = Tokenizer.from_str(read_checkpoint("demo:stdlib-mini").tokenizer_json)
    assert len(tokens) > 8 and tokenizer.decode(tokens).startswith("\n    ")  # a body


def _run(command: str, address: str) -> dict:
    words = shlex.split(command.replace("http://localhost:8501", address))
    assert words[0] == "curl" and address in words[1]
    done = subprocess.run([*words, "--silent", "--fail-with-body"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
