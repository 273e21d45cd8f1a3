"""Computes the goldens with `transformers` and torch: `make goldens`.

    python -m tests.importing.reference [NAME ...]

Without names every model is computed anew, and goldens of models that are no more are removed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]
from safetensors.numpy import load_file, save_file

from tests.importing import models
from tests.importing.catalogue import MODELS, SIZES


def main(names: list[str]) -> None:
    """Writes `goldens/NAME/` for each name, and `goldens/facts.json`."""
    transformers.logging.disable_progress_bar()
    for name in names or MODELS:
        write_inputs(name)
        logits = compute(name)
        save_file(logits, models.GOLDENS / name / "logits.safetensors")
        print(f"{name}: logits' deviation {[round(float(x.std()), 2) for x in logits.values()]}")
    if not names:
        for path in models.GOLDENS.iterdir():
            if path.is_dir() and path.name not in MODELS:
                shutil.rmtree(path)
    _write(models.FACTS, {"versions": versions(), "inputs": _hashes()})


def versions() -> dict[str, str]:
    """What computes the logits."""
    packages = {"torch": torch, "transformers": transformers, "numpy": np}
    return {"python": platform.python_version()} | {n: p.__version__ for n, p in packages.items()}


def _hashes() -> dict[str, str]:
    return {n: models.inputs_hash(n) for n in MODELS if (models.GOLDENS / n).is_dir()}


def write_inputs(name: str) -> None:
    """Writes `config.json` and `tensors.json`, as `save_pretrained` stores such a model."""
    kind, settings = MODELS[name]
    sizes = {} if "text_config" in settings else SIZES
    config = getattr(transformers, kind)(**sizes | settings)
    model = _auto_class(name).from_config(config, dtype=torch.float32)
    target = models.GOLDENS / name
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shutil.copy(Path(folder, "config.json"), target)
        stored = load_file(Path(folder, "model.safetensors"))
    lines = [f'"{key}": {json.dumps(_entry(array))}' for key, array in sorted(stored.items())]
    (target / "tensors.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    models.tensors.cache_clear()
    models.folder.cache_clear()


def _entry(array: np.ndarray) -> dict[str, Any]:
    """A vector's first value tells a norm of weight (1) from one of 1 + weight, or a bias (0)."""
    return {"shape": array.shape, "initial": float(array[0]) if array.ndim == 1 else 0.0}


def compute(name: str) -> dict[str, np.ndarray]:
    """Logits of `models.TOKENS`, with the weights read as any folder's are."""
    # Only this attention soft-caps.
    loaded: Any = _auto_class(name).from_pretrained(
        models.folder(name),
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    model, report = loaded
    assert not any(report.values()), f"{name}: {report}"
    model.eval()
    return {f"width_{width}": _in_blocks(model, width) for width in models.widths(name)}


def _in_blocks(model: Any, width: int) -> np.ndarray:
    """Logits of `models.TOKENS`, `width` tokens a call over the model's cache."""
    tokens, cache, blocks = torch.tensor(models.TOKENS, dtype=torch.long), None, []
    with torch.no_grad():
        for block in tokens.split(width, 1):
            result = model(block, cache=cache, use_cache=True)
            cache = result.cache
            blocks.append(result.logits)
    return torch.cat(blocks, 1).numpy()


def _auto_class(name: str) -> Any:
    images = "vision_config" in MODELS[name][1]
    return getattr(transformers, f"AutoModelFor{'ImageTextToText' if images else 'CausalLM'}")


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
