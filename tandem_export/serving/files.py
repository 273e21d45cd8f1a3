"""Files that TensorFlow Serving reads beside a model: warm-up requests, batching, model list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tandem_export.serving.client import Message, message, predict_request
from tandem_export.serving.protocol import CLAIM, RELEASE, warmup_inputs

# Where TensorFlow Serving looks for requests to replay before a version gets traffic.
WARMUP = "assets.extra/tf_serving_warmup_requests"
MODELS, BATCHING = "models.config", "batching_parameters.txt"


def write_serving_files(
    folder: Path,
    version: int,
    model: str,
    signatures: Mapping[str, Mapping[str, Any]],
    batches: Sequence[int],
    scratch: int,
) -> None:
    """Writes all of them.

    Args:
      folder: the model's folder, which holds the version folders.
      version: the version folder that gets the warm-up requests.
      model: its name.
      signatures: inputs by name, with shape and dtype.
      batches: the batch buckets of `generate`.
      scratch: the slot that session signatures are warmed up on.
    """
    requests = [
        predict_request(model, name, warmup_inputs(inputs, scratch))
        for name, inputs in sorted(signatures.items())
        if name not in (CLAIM, RELEASE)  # nothing to compile worth a slot
    ]
    _write_warmup(folder / str(version) / WARMUP, requests)
    (folder / MODELS).write_text(_models_config(model), "utf-8")
    if batches:
        (folder / BATCHING).write_text(_batching(batches), "utf-8")


def _write_warmup(path: Path, requests: Sequence[Message]) -> None:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for request in requests:
            entry = message("PredictionLog")(predict_log={"request": request})
            file.write(entry.SerializeToString(deterministic=True))


def _models_config(model: str) -> str:
    return f"""\
model_config_list {{
  config {{
    name: "{model}"
    base_path: "/models/{model}"
    model_platform: "tensorflow"
  }}
}}
"""


def _batching(batches: Sequence[int]) -> str:
    sizes = "\n".join(f"allowed_batch_sizes: {size}" for size in batches)
    return f"""\
max_batch_size {{ value: {max(batches)} }}
batch_timeout_micros {{ value: 2000 }}
num_batch_threads {{ value: 1 }}
max_enqueued_batches {{ value: 64 }}
{sizes}
"""
