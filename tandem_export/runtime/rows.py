"""The per-row sampling inputs of a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tandem_export.runtime.params import SamplingParams


@dataclass(frozen=True)
class RowInputs:
    """The sampling inputs of a round by name, one entry a row (docs/architecture.md).

    Never changed in place: a new object tells the executor to upload again.
    """

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row asks of its rounds."""

    params: SamplingParams
    seed: np.ndarray
    max_draft: int
    tau: float


_IDLE: dict[str, tuple[float, type]] = {
    "temperature": (0.0, np.float32),
    "top_k": (0, np.int32),
    "top_p": (1.0, np.float32),
    "min_p": (0.0, np.float32),
    "rule": (0, np.int32),
    "max_draft": (0, np.int32),
    "tau": (0.0, np.float32),
}


def idle_rows(batch: int) -> RowInputs:
    """Inputs of a batch in which every row is idle."""
    arrays = {name: np.full((batch,), value, dtype) for name, (value, dtype) in _IDLE.items()}
    return RowInputs(arrays | {"seed": np.zeros((batch, 2), np.uint32)})


def with_row(rows: RowInputs, slot: int, row: Row) -> RowInputs:
    """`rows` with `slot` set to `row`."""
    arrays = {name: array.copy() for name, array in rows.arrays.items()}
    for name in ("temperature", "top_k", "top_p", "min_p"):
        arrays[name][slot] = getattr(row.params, name)
    arrays["rule"][slot] = row.params.graph_rule
    arrays["max_draft"][slot], arrays["tau"][slot] = row.max_draft, row.tau
    arrays["seed"][slot] = row.seed
    return RowInputs(arrays)
