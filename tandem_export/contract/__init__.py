"""Holds every name and number that graphs, targets, runtime and servers agree on.

Standard library and numpy only: every room may import it, and it imports none of them.
"""

from tandem_export.contract.acceptance import STANDALONE_RULES, AcceptanceRule
from tandem_export.contract.noise import STREAM_BITS, Stream, counter_word
from tandem_export.contract.roles import (
    ROLES,
    ROUND_ROLES,
    STATELESS_ROLES,
    STEP_ROLES,
    Role,
    graph_name,
    is_round,
    position_name,
    signature_role,
)
from tandem_export.contract.sampling import SAMPLING_INPUTS, SamplingInput, sampling_inputs
from tandem_export.contract.state import (
    MODELS,
    REGISTERS,
    CacheName,
    ModelName,
    Register,
    cache_length,
    cache_names,
    is_cache,
    is_prefix,
    is_rows,
    parse_cache_name,
    prefix_name,
    rows_name,
    without_prefix,
    without_rows,
)

__all__ = [
    "MODELS",
    "REGISTERS",
    "ROLES",
    "ROUND_ROLES",
    "SAMPLING_INPUTS",
    "STANDALONE_RULES",
    "STATELESS_ROLES",
    "STEP_ROLES",
    "STREAM_BITS",
    "AcceptanceRule",
    "CacheName",
    "ModelName",
    "Register",
    "Role",
    "SamplingInput",
    "Stream",
    "cache_length",
    "cache_names",
    "counter_word",
    "graph_name",
    "is_cache",
    "is_prefix",
    "is_round",
    "is_rows",
    "parse_cache_name",
    "position_name",
    "prefix_name",
    "rows_name",
    "sampling_inputs",
    "signature_role",
    "without_prefix",
    "without_rows",
]
