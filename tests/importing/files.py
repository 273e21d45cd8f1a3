"""Sources in other formats, made of the same small models."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tandem_export.importing import names, read_source
from tests.importing import models as made

WORDS = 96
# name of the model -> (architecture in GGUF, settings under its prefix)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama2": ("llama", {}),
    "llama3.1": ("llama", {"rope.freq_base": 5e5}),
    "qwen2.5": ("qwen2", {"rope.freq_base": 5e3}),
    "qwen3": ("qwen3", {"attention.key_length": 12}),
    "gemma2": (
        "gemma2",
        {
            "attention.key_length": 12,
            "attention.sliding_window": 5,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": 2.0,
        },
    ),
    "gemma3": (
        "gemma3",
        {
            "attention.key_length": 12,
            "attention.sliding_window": 5,
            "rope.freq_base": 1000.0,
            "rope.freq_base_swa": 100.0,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
    ),
}


def tokenizer(words: list[str] | None = None) -> Tokenizer:
    """One token a word; `<bos>` goes before a text."""
    texts = words or ["<pad>", "<bos>", "<eos>", *(f"w{i}" for i in range(3, WORDS))]
    built = Tokenizer(models.WordLevel({t: i for i, t in enumerate(texts)}, unk_token="<pad>"))
    built.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    if "<bos>" in texts:
        built.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single=["<bos>", "$A"], special_tokens=[("<bos>", texts.index("<bos>"))]
        )
    return built


@cache
def folder(name: str, **files: str) -> Path:
    """A model's folder with a tokenizer, and `files` (name without its dot -> text) besides."""
    path = Path(mkdtemp(prefix=f"{name}-"), name)
    shutil.copytree(made.folder(name), path)
    (path / "tokenizer.json").write_text(tokenizer().to_str(), encoding="utf-8")
    for file, text in files.items():
        (path / file.replace("__", ".")).write_text(text, encoding="utf-8")
    return path


def gguf_file(
    path: Path, name: str, kind: str = "F32", split: tuple[int, int] = (0, 1), **changed: Any
) -> Path:
    """The model as llama.cpp's converter would write it; matrices in the type `kind`.

    `split`: says of itself that it is this part of so many.
    """
    source, (architecture, own) = (
        read_source(str(made.folder(name)), "primary"),
        ARCHITECTURES[name],
    )
    writer = GGUFWriter(path, architecture)
    for key, value in (_settings(source.config) | own | changed).items():
        _add(writer, f"{architecture}.{key}", value)
    _add_vocabulary(writer)
    if split[1] > 1:
        writer.add_uint16("split.no", split[0])
        writer.add_uint16("split.count", split[1])
    for ours, tensor in source.tensors.items():
        layer = ours.split(".")[1]
        theirs = names.GGUF[ours.replace(f".{layer}.", ".{j}.") if "layers" in ours else ours]
        values = _stored(np.asarray(tensor), ours, source.config, architecture)
        whole = kind == "F32" or values.ndim == 1 or values.shape[-1] % 32 != 0
        quant = GGMLQuantizationType.F32 if whole else GGMLQuantizationType[kind]
        data = values if whole else quantize(values, quant)
        writer.add_tensor(theirs.replace("{j}", layer), data, raw_dtype=quant)
    if source.config.rope.scaling == "llama3":
        writer.add_tensor("rope_freqs.weight", _divisors(source.config))
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()
    return path


def _settings(config: Any) -> dict[str, Any]:
    return {
        "block_count": config.num_layers,
        "embedding_length": config.width,
        "feed_forward_length": config.ff_size,
        "attention.head_count": config.num_heads,
        "attention.head_count_kv": config.num_kv_heads,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
    }


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    kinds = {str: "string", int: "uint32", float: "float32", bool: "bool", list: "array"}
    getattr(writer, f"add_{kinds[type(value)]}")(key, value)


def _add_vocabulary(writer: GGUFWriter) -> None:
    pieces = [chr(0x4E00 + i) for i in range(WORDS - 3)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<pad>", "<bos>", "<eos>", *pieces])
    writer.add_token_scores([-1000.0] * 3 + [-float(i) for i in range(len(pieces))])
    writer.add_token_types([3, 3, 3] + [1] * len(pieces))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0].content }}")


def _stored(values: np.ndarray, ours: str, config: Any, architecture: str) -> np.ndarray:
    """`[out, in]`, norms of Gemma as 1 + weight, q and k of Llama with interleaved halves."""
    if "norm" in ours:
        return values + np.float32(config.norm_plus_one)
    values = values if values.ndim == 1 or ours == "embedding.weight" else values.T
    if architecture == "llama" and (".q." in ours or ".k." in ours):
        split = values.reshape(-1, 2, config.head_size // 2, *values.shape[1:])
        values = split.swapaxes(1, 2).reshape(values.shape)
    return np.ascontiguousarray(values)


def _divisors(config: Any) -> np.ndarray:
    """As llama.cpp's converter computes them, from the released rule of Llama 3."""
    rope, half = config.rope, config.head_size // 2
    wave = 2 * np.pi * rope.theta ** (np.arange(half) * 2 / config.head_size)
    low = rope.original_positions / rope.low_freq_factor
    high = rope.original_positions / rope.high_freq_factor
    smooth = (rope.original_positions / wave - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    between = 1 / ((1 - smooth) / rope.factor + smooth)
    return np.where(wave < high, 1.0, np.where(wave > low, rope.factor, between)).astype(np.float32)


def tandem_file(path: Path, width: int, layers: int, **more: np.ndarray) -> Path:
    """Projections from width 32, and a router with top-k 2 and 4 hidden units."""
    draw = np.random.default_rng(0)
    shapes = {f"projection.{j}.weight": (32, width) for j in range(layers)} | {
        "router.hidden.weight": (3 + 2 * width, 4),
        "router.hidden.bias": (4,),
        "router.out.weight": (4, 1),
        "router.out.bias": (1,),
    }
    tensors = {name: draw.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    save_file(tensors | more, path)
    return path


def json_file(path: Path, value: Any) -> Path:
    """`value` as JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
