"""A folder in which a page's commands and Python run: small files under the names of pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

from tandem_export.bundle import open_bundle
from tandem_export.checkpoint.orbax import write_orbax
from tandem_export.cli import main
from tandem_export.config import to_dict
from tandem_export.importing import ImportOptions, import_checkpoint
from tandem_export.runtime.executors.caching import use_compilation_cache
from tandem_export.serving.stand_in.server import StandIn
from tests.docs.pages import ROOT
from tests.importing import files
from tests.parity.bundles import COMPILED, shared_checkpoint
from tests.serving.bundles import model_folder

EXAMPLE, OWNER = ROOT / "examples" / "own_weights", ROOT / "tests" / "examples" / "goldens"
# What commands take where a page names nothing: the product's own grids take minutes to build.
_STEPS = "prefill,insert,primary_block,drafter_step,round"
DEFAULTS: dict[str, dict[str, Any]] = {
    "build": {
        **{"batch": "4", "gamma": "5", "prompt": "16", "cache": 128},
        **{"max_new": 8, "platforms": ["cpu"], "roles": _STEPS},
    },
    "verify": {"prompts": 2, "max_new_tokens": 4, "samples": 200},
    "bench-executors": {"count": 1, "max_new_tokens": 8, "repetitions": 1},
    "evaluate": {"tokens": 64, "window": 16, "prompts": 1, "max_new_tokens": 8},
}


class Sandbox:
    """Runs commands of pages, in the current folder."""

    def __init__(self) -> None:
        self._server: StandIn | None = None
        use_compilation_cache(COMPILED)

    def run(self, words: list[str]) -> Result:
        """Runs the program in this process with small defaults."""
        small = {name: _present(name, values) for name, values in DEFAULTS.items()}
        return CliRunner().invoke(main, words, default_map=small)

    def serve(self, bundle: Path) -> None:
        """Does what `tandem-export stand-in` does, on free ports, until `close`."""
        self._server = StandIn(model_folder(open_bundle(bundle)), "tandem")

    def here(self, text: str) -> str:
        """`text` with that server's ports in place of those that pages name."""
        if self._server is None:
            return text
        ports = (("8500", self._server.grpc_address), ("8501", self._server.rest_address))
        for port, address in ports:
            text = text.replace(f"localhost:{port}", f"localhost:{address.rpartition(':')[2]}")
        return text

    def close(self) -> None:
        """Ends the server, if there is one; graphs are cached where they were before the page."""
        use_compilation_cache(COMPILED)
        if self._server is not None:
            self._server.close()


def _present(command: str, values: dict[str, Any]) -> dict[str, Any]:
    """Default values by the parameters' names, each of which the command must have."""
    known = {param.name for param in main.commands[command].params}
    assert values.keys() <= known, f"{command} has no {values.keys() - known}"
    return values


@cache
def _bundle(form: str, *options: str) -> Path:
    """A tiny bundle, built once a process, by the command."""
    out = shared_checkpoint().parent / f"docs-{form}"
    words = ["build", str(shared_checkpoint()), "--out", str(out), "--format", form, *options]
    built = Sandbox().run(words)
    assert built.exit_code == 0, built.output
    return out


def _copy(source: Callable[[], Path]) -> Callable[[Path], object]:
    def copy(target: Path) -> None:
        made = source()
        (shutil.copytree if made.is_dir() else shutil.copy)(made, target)

    return copy


def _text(target: Path) -> None:
    target.write_text(" ".join(f"w{i % 16}" for i in range(400)), encoding="utf-8")


def _tandem(target: Path) -> None:
    files.tandem_file(target, 32, 1)


def _model(target: Path) -> None:
    """A Hugging Face folder with a model of one layer."""
    shutil.copytree(files.folder("llama2"), target)
    settings = json.loads((target / "config.json").read_text("utf-8"))
    files.json_file(target / "config.json", settings | {"num_hidden_layers": 1})
    weights = load_file(target / "model.safetensors")
    first = {n: w for n, w in weights.items() if ".layers." not in n or ".layers.0." in n}
    save_file(first, target / "model.safetensors")


def _orbax(target: Path) -> None:
    """What jax trained: a pair of the vocabulary of `_model`, with its configuration beside it."""
    model = target.parent / "Llama-3.1-8B"
    options = ImportOptions(primary=str(model), drafter=str(model))
    pair = import_checkpoint(options, target.parent / "as-trained")
    write_orbax(target, pair.params)
    files.json_file(target.parent / "pair.json", to_dict(pair.config))


_STABLEHLO, _PAIR = _copy(lambda: _bundle("stablehlo")), _copy(shared_checkpoint)
# page -> name of a file or folder that the page speaks of -> what makes it
WORLD: dict[str, dict[str, Callable[[Path], object]]] = {
    "README.md": {
        **{"PRIMARY": _model, "DRAFTER": _model, "build/demo-bundle": _STABLEHLO},
    },
    "docs/quickstart.md": {},
    "docs/how-to/own-weights.md": {
        **{name: _copy(lambda n=name: OWNER / n) for name in ("state.pt", "reference.npz")},
        "tokenizer.json": _copy(lambda: OWNER / "tokenizer.json"),
        **{name: _copy(lambda n=name: EXAMPLE / n) for name in ("pair.toml", "names.toml")},
    },
    "docs/how-to/import.md": {
        "Llama-3.1-8B": _model,
        "Llama-3.2-1B": _model,
        "orbax": _orbax,
        "trained.safetensors": _tandem,
        "gemma-3-270m.gguf": lambda target: files.gguf_file(target, "gemma3"),
    },
    "docs/how-to/evaluate.md": {
        **{"build/bundle": _STABLEHLO, "CHECKPOINT": _PAIR, "held-out.txt": _text},
    },
    "docs/how-to/executors.md": {"pair": _PAIR},
    "docs/how-to/embedding.md": {"build/quick": _STABLEHLO},
    "docs/how-to/tf-serving.md": {
        "build/demo": _copy(lambda: _bundle("savedmodel", "--graphs", "prefill,insert,round")),
    },
}


def fill(folder: Path, page: str) -> None:
    """Puts the files of a page's world into `folder`."""
    for name, make in WORLD.get(page, {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make(folder / name)
