"""`tandem-export serve` as a process of its own, over a bundle that was built for real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest
from click.testing import CliRunner

from tandem_export.cli import main
from tests.onnx_bundles import shared_bundle

OPTIONS = {"model": "pair", "temperature": 0, "max_tokens": 16, "extra_body": {"ignore_eos": True}}


def bundle() -> Path:
    return shared_bundle("tandem", "stablehlo", "onnx").path


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields the process and its address, once it listens."""
    command = [sys.executable, "-m", "tandem_export", "serve", str(bundle()), "--port", "0"]
    started = subprocess.Popen(
        [*command, "--model", "pair", "--executor", "onnxruntime", "--threads", "1", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = list[str]()
    assert started.stderr is not None
    for line in started.stderr:
        said.append(line)
        if "running on" in line:
            break
    else:
        pytest.fail("".join(said))
    rest = threading.Thread(target=lambda: said.extend(started.stderr or ()))
    rest.start()
    try:
        yield started, said[-1].split("running on ")[1].split(" ")[0]
    finally:
        started.kill()
        started.wait()
        rest.join()


def test_sigterm_drains_and_the_exit_code_is_zero() -> None:
    with process("--json", "--api-key", "secret") as (server, address):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0)
        assert httpx.get(f"{address}/ready").status_code == 200
        whole = client.completions.create(prompt=[3, 1], **OPTIONS).choices[0].text
        stream = client.completions.create(prompt=[[3, 1]] * 60, stream=True, **OPTIONS)
        texts = dict.fromkeys(range(60), "")
        for number, chunk in enumerate(stream):
            if number == 0:
                server.send_signal(signal.SIGTERM)  # and two slots have 60 answers to give
            texts[chunk.choices[0].index] += chunk.choices[0].text
        assert list(texts.values()) == [whole] * 60
        assert server.wait(60) == 0
        assert server.stdout is not None
        assert json.loads(server.stdout.read()) == {"requests": 61, "tokens": 61 * 16}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


def test_a_bad_option_is_one_paragraph() -> None:
    result = CliRunner().invoke(main, ["serve", str(bundle()), "--batch", "3"])
    assert result.exit_code == 2
    assert "must be one of the bundle's buckets [2]. Got: (3,)" in result.stderr


def test_generate_writes_the_page(tmp_path: Path) -> None:
    file = tmp_path / "answer.html"
    options = ["--executor", "onnxruntime", "--max-new-tokens", "9", "--html", str(file)]
    result = CliRunner().invoke(main, ["generate", str(bundle()), "c", *options, "--json"])
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)["answers"][0]
    page = file.read_text("utf-8")
    rounds = json.loads(page.split("const ROUNDS = ")[1].split(";\n")[0])
    assert sum(len(r["texts"]) for r in rounds) == len(answer["tokens"])
    assert sum(r["drafted"] for r in rounds) == answer["stats"]["drafted"]
    two = CliRunner().invoke(main, ["generate", str(bundle()), "c", "d", *options])
    assert two.exit_code == 2
    assert "--html shows one answer: give one PROMPT and one sample. Got: 2 prompts" in two.stderr
