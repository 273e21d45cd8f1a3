"""The runtime: drives a bundle's graphs with the SPEED loop. Execution engines load on use."""

from tandem_export.contract import AcceptanceRule
from tandem_export.runtime.engine import Engine
from tandem_export.runtime.loading import load
from tandem_export.runtime.reference.acceptance import Verdict, draw, judge
from tandem_export.runtime.reference.sampling import choose, log_softmax, processed_log_probs
from tandem_export.runtime.reference.threefry import gumbel, threefry2x32, uniform
from tandem_export.runtime.request.admission import Limits
from tandem_export.runtime.request.chat import ChatTemplate
from tandem_export.runtime.request.params import MODES, Mode, SamplingParams
from tandem_export.runtime.request.result import Delta, Result
from tandem_export.runtime.request.stats import EngineStats, RequestStats
from tandem_export.runtime.rounds.buckets import batches_of, limits_of
from tandem_export.runtime.rounds.inputs import RowInputs
from tandem_export.runtime.rounds.protocol import (
    Counters,
    PrefilledRow,
    Registers,
    RoundKind,
    RoundResult,
    Rounds,
    Steps,
    prefill_chunks,
)

__all__ = [
    "MODES",
    "AcceptanceRule",
    "ChatTemplate",
    "Counters",
    "Delta",
    "Engine",
    "EngineStats",
    "Limits",
    "Mode",
    "PrefilledRow",
    "Registers",
    "RequestStats",
    "Result",
    "RoundKind",
    "RoundResult",
    "Rounds",
    "RowInputs",
    "SamplingParams",
    "Steps",
    "Verdict",
    "batches_of",
    "choose",
    "draw",
    "gumbel",
    "judge",
    "limits_of",
    "load",
    "log_softmax",
    "prefill_chunks",
    "processed_log_probs",
    "threefry2x32",
    "uniform",
]
