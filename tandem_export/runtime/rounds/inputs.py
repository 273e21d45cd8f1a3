"""Makes the per-row sampling inputs of a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tandem_export.contract import SAMPLING_INPUTS
from tandem_export.runtime.request.params import SamplingParams


@dataclass(frozen=True)
class RowInputs:
    """The sampling inputs of a round by name, one entry a row; see `contract.SAMPLING_INPUTS`.

    Never changed in place: a new object tells the executor to upload again.
    """

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class RowSampling:
    """The sampling parameters of one row."""

    params: SamplingParams
    seed: np.ndarray
    max_draft: int
    tau: float


def idle_rows(batch: int) -> RowInputs:
    """Returns the inputs of a batch in which every row is idle."""
    return RowInputs({name: row.idle_array(batch) for name, row in SAMPLING_INPUTS.items()})


def with_row(rows: RowInputs, slot: int, row: RowSampling) -> RowInputs:
    """Returns `rows` with `slot` set to `row`."""
    arrays = {name: array.copy() for name, array in rows.arrays.items()}
    for name in ("temperature", "top_k", "top_p", "min_p"):
        arrays[name][slot] = getattr(row.params, name)
    arrays["rule"][slot] = row.params.graph_rule
    arrays["max_draft"][slot], arrays["tau"][slot] = row.max_draft, row.tau
    arrays["seed"][slot] = row.seed
    return RowInputs(arrays)
