"""What `import` reads: Hugging Face folders and GGUF files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from tandem_export.importing import ImportOptions, read_source
from tandem_export.importing.text import chosen_text, vocabulary_of
from tests.fuzz.mutate import change_bytes, json_bytes
from tests.fuzz.surface import put_odd, replaced
from tests.fuzz.surfaces.bundles import change_safetensors
from tests.fuzz.surfaces.gguf_bytes import change_gguf, write_gguf
from tests.fuzz.surfaces.hugging_face import write_folder

_INDEX = "model.safetensors.index.json"


def use(path: Path) -> None:
    source = read_source(str(path), "primary")
    for tensor in list(source.tensors.values())[:3]:
        tensor.read()
    options = ImportOptions(primary=str(path), drafter_layers=(0,))
    vocabulary_of(chosen_text(options, source.text))


def prepare_folder(folder: Path) -> Any:
    write_folder(folder / "model")
    use(folder / "model")
    shutil.copytree(folder / "model", folder / "good")
    return sorted(path.name for path in (folder / "model").iterdir())


def folder(rng: random.Random, folder: Path, material: Any) -> None:
    name = rng.choice(material)
    path = folder / "model" / name
    old = (folder / "good" / name).read_bytes()
    with replaced(path, old):
        kind = rng.random()
        if kind < 0.07:
            put_odd(rng, path)
        elif name.endswith(".safetensors"):
            path.write_bytes(change_safetensors(rng, old))
        elif name.endswith(".json"):
            path.write_bytes(json_bytes(rng, json.loads(old)))
        else:
            path.write_bytes(change_bytes(rng, old))
        use(folder / "model")


def prepare_gguf(folder: Path) -> Any:
    write_gguf(folder / "m.gguf")
    use(folder / "m.gguf")
    return (folder / "m.gguf").read_bytes()


def gguf(rng: random.Random, folder: Path, material: Any) -> None:
    path = folder / "m.gguf"
    path.write_bytes(change_gguf(rng, material))
    use(path)
