from __future__ import annotations

import pytest

from tandem_export.bundle import TensorSpec
from tandem_export.errors import BundleError
from tandem_export.runtime.executors.room import check_room


def test_caches_must_fit_the_machine() -> None:
    small = TensorSpec(name="primary_k.00", shape=(1, 2, 64, 4), dtype="bfloat16")
    check_room("insert_b1", [small])
    large = TensorSpec(name="primary_v.00", shape=(1, 2**20, 2**20, 2**10), dtype="float32")
    with pytest.raises(
        BundleError,
        match=r"the state of graph 'insert_b1' must fit the \d+ bytes .* Got: 4503599627",
    ):
        check_room("insert_b1", [small, large])
