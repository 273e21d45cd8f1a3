"""The facts about a checkpoint that people and programs ask for."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from tandem_export.checkpoint.record import Checkpoint
from tandem_export.checkpoint.tensors import overall_dtype
from tandem_export.config import to_dict
from tandem_export.jsontypes import JsonObject


def _part(tensors: dict[str, np.ndarray]) -> JsonObject:
    arrays = tensors.values()
    return {
        "tensors": len(arrays),
        "parameters": sum(array.size for array in arrays),
        "bytes": sum(array.nbytes for array in arrays),
        "dtype": overall_dtype({"": tensors}),
    }


def summary(checkpoint: Checkpoint) -> JsonObject:
    """Returns the facts about a checkpoint, in JSON values.

    Returns:
      `kind`; `parts`: per part its number of `tensors` and `parameters`, `bytes` of tensor data and
      `dtype`; `parameters` and `bytes` over all parts; `config`; `vocabulary`; `sha256` per file;
      `provenance`.
    """
    parts = {part: _part(tensors) for part, tensors in checkpoint.params.items()}
    facts = {
        "kind": checkpoint.config.kind,
        "parts": parts,
        "parameters": sum(part["parameters"] for part in parts.values()),
        "bytes": sum(part["bytes"] for part in parts.values()),
        "config": to_dict(checkpoint.config),
        "vocabulary": dataclasses.asdict(checkpoint.vocabulary),
        "sha256": checkpoint.source,
        "provenance": checkpoint.provenance,
    }
    return json.loads(json.dumps(facts))  # Tuples become lists, as a reader of the JSON has them.
