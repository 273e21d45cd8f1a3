"""One extra alone in an empty environment: it brings its engine, no other, and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tandem_export
from tandem_export.bundle import Bundle
from tandem_export.serving.stand_in.server import StandIn
from tests.onnx_bundles import shared_bundle
from tests.packaging.distributions import install, packages, run
from tests.serving.bundles import every_role, model_folder

# Whatever compiles, runs or builds graphs.
ENGINES = {
    *("flax", "iree-base-runtime", "jax", "jaxlib", "libtpu", "onnx", "onnxruntime", "openvino"),
    *("orbax-checkpoint", "orbax-export", "tensorflow", "tensorflow-cpu", "torch", "transformers"),
}
PROMPT = "b"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@contextmanager
def nothing(bundle: Bundle) -> Iterator[str]:
    """For an engine that runs in the client's process: no server."""
    yield ""


@contextmanager
def over(bundle: Bundle, wire: str) -> Iterator[str]:
    """A server of the bundle's SavedModel; the address that an executor's name ends with."""
    server = StandIn(model_folder(bundle), "tandem")
    try:
        yield ":" + {"grpc": server.grpc_address, "rest": server.rest_address}[wire]
    finally:
        server.close()


CASES = {
    "jax": ("[jax]", "jax", {"jax", "jaxlib"}, lambda: shared_bundle("tandem", "stablehlo")),
    "onnx": ("[onnx]", "onnxruntime", {"onnxruntime"}, lambda: shared_bundle("tandem", "onnx")),
    "serving": ("[serving]", "tf-serving", set(), every_role),
}


@pytest.mark.parametrize("extra", CASES)
def test_one_extra_alone_answers(folders: Path, extra: str) -> None:
    extras, executor, engines, made = CASES[extra]
    binaries, bundle = install(folders / extra, extras), made()
    assert packages(folders / extra) & ENGINES == engines
    with over(bundle, "grpc") if extra == "serving" else nothing(bundle) as address:
        answers = [_command(binaries, bundle, executor + address, folders)]
        answers.append(_script(binaries, bundle, executor + address, folders))
        here = tandem_export.load(bundle.path, executor=executor + address)
        (expected,) = here.generate(PROMPT, tandem_export.SamplingParams(max_new_tokens=6))
    assert answers == [list(expected.tokens)] * 2


def test_no_extra_serves_over_rest_and_says_what_an_engine_needs(folders: Path) -> None:
    binaries = install(folders / "none", "")
    assert packages(folders / "none") & (ENGINES | {"grpcio", "protobuf", "jinja2"}) == set()
    with over(every_role(), "rest") as address:
        answer = _command(binaries, every_role(), "tf-serving" + address, folders)
    assert len(answer) > 0
    bundle = shared_bundle("tandem", "onnx")
    refused = run(binaries / "tandem-export", "generate", bundle.path, PROMPT, cwd=folders)
    assert refused.returncode == 2
    assert "tandem-export[onnx]" in " ".join(refused.stderr.split())


def _command(binaries: Path, bundle: Bundle, executor: str, cwd: Path) -> list[int]:
    """Tokens that the installed command writes."""
    words = ("generate", bundle.path, PROMPT, "--max-new-tokens", "6", "--json")
    done = run(binaries / "tandem-export", *words, "--executor", executor, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return _only(json.loads(done.stdout)["answers"])["tokens"]


def _script(binaries: Path, bundle: Bundle, executor: str, cwd: Path) -> list[int]:
    """Tokens that a program of its own gets, with the package of that environment."""
    script = (
        "import sys, tandem_export as t\n"
        "assert t.__file__.startswith(sys.prefix), t.__file__\n"
        f"engine = t.load({str(bundle.path)!r}, executor={executor!r})\n"
        f"(result,) = engine.generate({PROMPT!r}, t.SamplingParams(max_new_tokens=6))\n"
        "print(list(map(int, result.tokens)))\n"
    )
    done = run(binaries / "python", "-c", script, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _only(items: list[Any]) -> Any:
    (item,) = items
    return item
