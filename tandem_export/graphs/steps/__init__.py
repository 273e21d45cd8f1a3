"""Defines the single steps: over a state that is written in place, and in the `rows` contract."""

from tandem_export.graphs.steps.cache import cache_shapes
from tandem_export.graphs.steps.in_place import (
    drafter_step,
    insert,
    predict_acceptance,
    prefill,
    primary_block,
    primary_logits,
    router,
    run_drafter,
    run_primary,
)

__all__ = [
    "cache_shapes",
    "drafter_step",
    "insert",
    "predict_acceptance",
    "prefill",
    "primary_block",
    "primary_logits",
    "router",
    "run_drafter",
    "run_primary",
]
