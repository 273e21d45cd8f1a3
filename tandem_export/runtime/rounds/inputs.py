"""Makes the per-row sampling inputs of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from tandem_export.contract import SAMPLING_INPUTS
from tandem_export.runtime.request.params import SamplingParams


@dataclass(frozen=True, kw_only=True)
class RowInputs:
    """The sampling inputs of a round, one entry a row; `contract.SAMPLING_INPUTS` has their dtypes.

    Never changed in place: a new object tells the executor to upload again.

    Attributes:
      biases: `[V]` float32 for each row that has some, added to its logits; fused rounds take none.
    """

    temperature: np.ndarray
    top_k: np.ndarray
    top_p: np.ndarray
    min_p: np.ndarray
    seed: np.ndarray
    rule: np.ndarray
    max_draft: np.ndarray
    tau: np.ndarray
    biases: Mapping[int, np.ndarray] = field(default_factory=dict[int, np.ndarray])

    def by_name(self) -> dict[str, np.ndarray]:
        """Returns the arrays under the names of the graphs' inputs."""
        return {name: getattr(self, name) for name in SAMPLING_INPUTS}

    def biased(self, slot: int, logits: np.ndarray) -> np.ndarray:
        """Returns a row's logits `[..., V]` with its bias, if it has one."""
        return logits + self.biases[slot] if slot in self.biases else logits


@dataclass(frozen=True, kw_only=True)
class RowSampling:
    """The sampling parameters of one row."""

    params: SamplingParams
    seed: np.ndarray
    max_draft: int
    tau: float
    bias: np.ndarray | None = None


# Below any logit, and finite: differences of log-probabilities stay numbers.
_NEVER = -1e30


def bias_of(params: SamplingParams, vocab_size: int) -> np.ndarray | None:
    """Returns what `params` add to logits, `[V]` float32; None if nothing."""
    if not params.biases:
        return None
    bias = np.zeros(vocab_size, np.float32)
    for token, nats in params.logit_bias:
        bias[token] += nats
    if params.allowed_token_ids:
        allowed = np.zeros(vocab_size, bool)
        allowed[list(params.allowed_token_ids)] = True
        bias[~allowed] = _NEVER
    return bias


def idle_rows(batch: int) -> RowInputs:
    """Returns the inputs of a batch in which every row is idle."""
    return _inputs({name: row.idle_array(batch) for name, row in SAMPLING_INPUTS.items()}, {})


def _inputs(arrays: Mapping[str, np.ndarray], biases: Mapping[int, np.ndarray]) -> RowInputs:
    by_name = SimpleNamespace(**arrays)
    return RowInputs(
        temperature=by_name.temperature,
        top_k=by_name.top_k,
        top_p=by_name.top_p,
        min_p=by_name.min_p,
        seed=by_name.seed,
        rule=by_name.rule,
        max_draft=by_name.max_draft,
        tau=by_name.tau,
        biases=biases,
    )


def in_order(rows: RowInputs, order: Sequence[int | None]) -> RowInputs:
    """Returns the inputs of rows that were moved: row i was row `order[i]`; None is idle."""
    moved = idle_rows(len(order)).by_name()
    for name, array in rows.by_name().items():
        for slot, before in enumerate(order):
            if before is not None:
                moved[name][slot] = array[before]
    biases = {
        slot: rows.biases[before]
        for slot, before in enumerate(order)
        if before is not None and before in rows.biases
    }
    return _inputs(moved, biases)


def with_row(rows: RowInputs, slot: int, row: RowSampling | None) -> RowInputs:
    """Returns `rows` with `slot` set to `row`; None makes it idle."""
    biases = {other: bias for other, bias in rows.biases.items() if other != slot}
    if row is not None and row.bias is not None:
        biases[slot] = row.bias
    copies = {name: array.copy() for name, array in rows.by_name().items()}
    changed = _inputs(copies, biases)
    values = _values(row)
    for name, array in changed.by_name().items():
        array[slot] = values.get(name, SAMPLING_INPUTS[name].idle)
    return changed


def _values(row: RowSampling | None) -> dict[str, float | np.ndarray]:
    if row is None:
        return {}
    params = row.params
    return vars(
        SimpleNamespace(
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            seed=row.seed,
            rule=params.graph_rule,
            max_draft=row.max_draft,
            tau=row.tau,
        )
    )
