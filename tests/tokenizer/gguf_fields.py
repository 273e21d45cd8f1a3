"""Metadata as a GGUF file's header gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tandem_export.errors import CheckpointError
from tandem_export.storage import Fields


def as_fields(values: Mapping[str, Any]) -> Fields:
    """`values` with their lists of numbers as arrays."""
    return Fields(values={k: _stored(v) for k, v in values.items()}, error=CheckpointError)


def _stored(value: Any) -> Any:
    numbers = isinstance(value, list) and value and not isinstance(value[0], str)
    return np.array(value) if numbers else value
