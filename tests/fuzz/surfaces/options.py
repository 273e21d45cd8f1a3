"""Options: the records that Python callers fill, and the command line."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

from tandem_export.errors import ConfigError
from tandem_export.graphs import BuildOptions
from tandem_export.runtime import SamplingParams
from tandem_export.runtime.executors import ExecutorSpec
from tandem_export.serving import ClientOptions
from tandem_export.serving.client.client import connect
from tandem_export.targets.savedmodel.options import SavedModelOptions
from tests.fuzz.mutate import odd

_RECORDS = (SamplingParams, ClientOptions, BuildOptions, SavedModelOptions)
_REALS = (float("nan"), float("inf"), -0.0)
_NAMES = (
    "jax",
    "onnxruntime",
    "openvino",
    "tensorflow",
    "tf-serving",
    ":",
    "mapped",
    "+",
    "bfloat16",
)
_ADDRESSES = (
    "http",
    "grpc",
    "://",
    "127.0.0.1",
    ":",
    "99999",
    "[::1",
    "]",
    "/",
    "@",
    "x",
    "\u0000",
    "é",
)


def prepare(folder: Path) -> Any:
    del folder


def prepare_bundle(folder: Path) -> Any:
    from tests.bundle import sample

    sample.write(folder / "bundle")


def records(rng: random.Random, folder: Path, material: Any) -> None:
    del folder, material
    kind = rng.randrange(6)
    if kind == 0:
        ExecutorSpec.parse("".join(rng.choice(_NAMES) for _ in range(rng.randrange(1, 5))))
    elif kind == 1:
        text = "".join(rng.choice(_ADDRESSES) for _ in range(rng.randrange(1, 6)))
        if "127" not in text and "x" not in text:  # nothing is asked of the network
            connect(text, model="m", options=ClientOptions(deadline=0.1, retries=0))
    else:
        record: Any = rng.choice(_RECORDS)
        names = rng.sample(sorted(record.__dataclass_fields__), rng.choice((1, 2)))
        record(**{name: rng.choice((odd(rng), rng.choice(_REALS), (odd(rng),))) for name in names})


# Not `compile`: with a preset it works for minutes.
_COMMANDS = ("inspect", "generate", "verify", "bench", "build", "plan", "checkpoint")
_WORDS = (
    "--json",
    "--gamma",
    "-1",
    "0",
    "3",
    "nan",
    "1e99",
    "",
    "--executor",
    "jax:nonsense",
    "onnxruntime",
    "--mode",
    "x",
    "--batch",
    "99",
    "--out",
    "--format",
    "v5e",
    "--temperature",
    "--seed",
    "--stop",
    "--chat",
    "--allow-expired",
    "--threads",
    "8b",
    "0.8",
    "1,4",
    ",",
    "\udcff",
    "é",
    "--prompts-file",
    "2b",
    "--top-k",
    "--top-p",
    "--help",
    "-",
    "inspect",
)


def command_line(rng: random.Random, folder: Path, material: Any) -> None:
    """A command with odd arguments must end with an exit code, and no traceback."""
    del material
    from tandem_export.cli import main

    words = [rng.choice((*_WORDS, str(folder / "bundle"))) for _ in range(rng.randrange(5))]
    with contextlib.redirect_stdout(_Null()), contextlib.redirect_stderr(_Null()):
        try:
            main(args=[rng.choice(_COMMANDS), *words])
        except SystemExit as error:
            if error.code not in (0, 1, 2):
                raise
            if error.code:
                raise ConfigError("the command said what was wrong") from error


class _Null:
    """Takes text and keeps none; text that UTF-8 cannot hold is an error, as on a terminal."""

    encoding = "utf-8"

    def write(self, text: str | bytes) -> int:
        if isinstance(text, str):
            text.encode("utf-8")
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return False
