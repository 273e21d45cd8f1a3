"""Makes the per-row sampling inputs of a round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tandem_export.contract import SAMPLING_INPUTS
from tandem_export.runtime.request.params import SamplingParams


@dataclass(frozen=True, kw_only=True)
class RowInputs:
    """The sampling inputs of a round, one entry a row; `contract.SAMPLING_INPUTS` has their dtypes.

    Never changed in place: a new object tells the executor to upload again.
    """

    temperature: np.ndarray
    top_k: np.ndarray
    top_p: np.ndarray
    min_p: np.ndarray
    seed: np.ndarray
    rule: np.ndarray
    max_draft: np.ndarray
    tau: np.ndarray

    def by_name(self) -> dict[str, np.ndarray]:
        """Returns the arrays under the names of the graphs' inputs."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class RowSampling:
    """The sampling parameters of one row."""

    params: SamplingParams
    seed: np.ndarray
    max_draft: int
    tau: float


def idle_rows(batch: int) -> RowInputs:
    """Returns the inputs of a batch in which every row is idle."""
    return RowInputs(**{name: row.idle_array(batch) for name, row in SAMPLING_INPUTS.items()})


def with_row(rows: RowInputs, slot: int, row: RowSampling) -> RowInputs:
    """Returns `rows` with `slot` set to `row`."""
    changed = RowInputs(**{name: array.copy() for name, array in rows.by_name().items()})
    changed.temperature[slot] = row.params.temperature
    changed.top_k[slot] = row.params.top_k
    changed.top_p[slot] = row.params.top_p
    changed.min_p[slot] = row.params.min_p
    changed.seed[slot] = row.seed
    changed.rule[slot] = row.params.graph_rule
    changed.max_draft[slot] = row.max_draft
    changed.tau[slot] = row.tau
    return changed
