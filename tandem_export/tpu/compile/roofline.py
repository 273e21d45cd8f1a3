"""The fewest HBM bytes that a graph can move, from its record: weights and live cache once.

What a chip must read or write at least: each weight once a run of its model, the cache of the
model that attends once a run, the new rows of both caches, inputs and outputs. A table that only
embeds is read by rows. The drafter runs gamma times in a round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tandem_export.bundle import GraphRecord, TensorSpec
from tandem_export.contract import is_prefix
from tandem_export.storage import numpy_dtype


def spec_bytes(specs: Iterable[TensorSpec]) -> int:
    """Returns bytes of dense arrays."""
    return sum(math.prod(spec.shape) * numpy_dtype(spec.dtype).itemsize for spec in specs)


def cache_specs(record: GraphRecord, who: str = "") -> list[TensorSpec]:
    """Returns the caches among the state: of `primary`, of `drafter`, or both."""
    caches = [spec for spec in record.state if len(spec.shape) == 4]
    return [spec for spec in caches if spec.name.startswith(who)]


def least_bytes(record: GraphRecord) -> int | None:
    """Returns the roofline of one call in bytes; None for `generate`, whose length is not known."""
    ends = spec_bytes(record.inputs) + spec_bytes(record.outputs)
    if record.role == "generate":
        return None
    if record.role == "insert":
        return 2 * spec_bytes(s for s in record.inputs if is_prefix(s.name))
    if record.role == "router":
        return ends + spec_bytes(s for s in record.params if s.name.startswith("router."))
    return ends + _of_runs(record)


def _of_runs(record: GraphRecord) -> int:
    width = record.width or 1
    if record.role == "drafter_step":
        return _run(record, "drafter", width)
    if record.role in ("primary_block", "prefill"):
        return _run(record, "primary", width)
    drafts = record.gamma or 0
    return _run(record, "primary", width) + drafts * _run(record, "drafter", 1)


def _run(record: GraphRecord, who: str, width: int) -> int:
    """Counts a run of a model over `width` tokens; the primary's writes the drafter's rows too."""
    read = spec_bytes(cache_specs(record, who)) + spec_bytes(_weights(record, who))
    written = cache_specs(record) if who == "primary" else cache_specs(record, who)
    return read + sum(spec_bytes([spec]) // spec.shape[2] * width for spec in written)


def _weights(record: GraphRecord, who: str) -> list[TensorSpec]:
    names = {spec.name for spec in record.params}
    weights = [spec for spec in record.params if spec.name.split(".")[0] == who]
    if record.role == "prefill" or f"{who}.head.weight" in names:
        weights = [spec for spec in weights if spec.name != f"{who}.embedding.weight"]
    if who == "drafter":
        return [spec for spec in weights if ".projection." not in spec.name]
    return weights + [spec for spec in record.params if _is_prefix(spec.name)]


def _is_prefix(name: str) -> bool:
    """Returns what the primary's block reads of the drafter."""
    parts = (".projection.", ".attention.k.", ".attention.v.", ".attention_norm.")
    return name.startswith("drafter.") and any(piece in name for piece in parts)
