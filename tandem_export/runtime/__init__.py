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
from tandem_export.runtime.request.text import TextStream, token_texts
from tandem_export.runtime.rounds.buckets import batches_of, limits_of
from tandem_export.runtime.rounds.inputs import RowInputs
from tandem_export.runtime.rounds.protocol import (
    Begun,
    Counters,
    PrefilledRow,
    Prefilling,
    Registers,
    RoundKind,
    RoundResult,
    Rounds,
    Steps,
    chunks_after,
    finish,
    prefill_chunks,
)
from tandem_export.runtime.service.asynchronous import AsyncEngine, deltas_of
from tandem_export.runtime.service.observer import AnswerSeen, Observer, RoundSeen
from tandem_export.runtime.service.request import Request

__all__ = [
    "MODES",
    "AcceptanceRule",
    "AnswerSeen",
    "AsyncEngine",
    "Begun",
    "ChatTemplate",
    "Counters",
    "Delta",
    "Engine",
    "EngineStats",
    "Limits",
    "Mode",
    "Observer",
    "PrefilledRow",
    "Prefilling",
    "Registers",
    "Request",
    "RequestStats",
    "Result",
    "RoundKind",
    "RoundResult",
    "RoundSeen",
    "Rounds",
    "RowInputs",
    "SamplingParams",
    "Steps",
    "TextStream",
    "Verdict",
    "batches_of",
    "choose",
    "chunks_after",
    "deltas_of",
    "draw",
    "finish",
    "gumbel",
    "judge",
    "limits_of",
    "load",
    "log_softmax",
    "prefill_chunks",
    "processed_log_probs",
    "threefry2x32",
    "token_texts",
    "uniform",
]
