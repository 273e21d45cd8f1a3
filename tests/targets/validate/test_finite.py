from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from tandem_export.errors import CheckpointError
from tandem_export.targets.validate.finite import check_finite


def test_finite_weights_pass() -> None:
    tensors = {"a": np.ones((2, 3), np.float32), "rows": np.array([-1, 2], np.int32)}
    check_finite("primary", tensors | {"b": np.array(2.0, np.float32)}, "bfloat16")


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_the_tensor_and_the_place_are_named(odd: float, dtype: type) -> None:
    weights = np.ones((3, 5), dtype)
    weights[2, 1] = odd
    rule = rf"^tensor `drafter.layers.0.x` must be finite in float32. Got: {odd} at \[2, 1\]. Train"
    with pytest.raises(CheckpointError, match=rule):
        check_finite("drafter", {"layers.0.x": weights}, "float32")


def test_what_is_too_large_for_bfloat16_counts_there() -> None:
    large = {"a": np.array([3.4e38], np.float32)}
    check_finite("primary", large, "float32")
    with pytest.raises(CheckpointError, match="must be finite in bfloat16"):
        check_finite("primary", large, "bfloat16")


def test_a_piece_is_looked_at_at_a_time() -> None:
    tensors = {"a": np.ones((2**12, 2**13), np.float32)}  # 128 MiB
    tracemalloc.start()
    check_finite("primary", tensors, "bfloat16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20
