"""What TensorFlow makes of the state: a call that writes a few positions copies no pool.

The compiled module's text cannot be had from a session. A copy would show in the time: the large
pool has 50 MB of caches, some 10 ms to copy, and a call on one slot takes less than 1 ms.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing

import numpy as np

from tandem_export.serving import LocalModel
from tandem_export.targets import SavedModelOptions
from tests.serving.bundles import ROUNDS, build_tiny, model_folder
from tests.serving.calls import ints

SMALL, LARGE = 8, 2048


def load(slots: int) -> LocalModel:
    options = dataclasses.replace(ROUNDS, roles=("prefill", "insert"))
    bundle = build_tiny(f"pool{slots}", options, ("savedmodel",), SavedModelOptions(slots=slots))
    return LocalModel(model_folder(bundle))


def prefill_seconds(model: LocalModel, slots: int) -> float:
    block = {"tokens": np.array([[1, 2, 3, 4]], np.int32), "start": ints(8)}
    begin = time.perf_counter()
    model.call("prefill_b1_t4", block | {"slots": ints(slots), "owner": ints(1)})
    return time.perf_counter() - begin


def test_the_cost_of_a_call_does_not_grow_with_the_pool() -> None:
    with closing(load(SMALL)) as small, closing(load(LARGE)) as large:
        turns = [(prefill_seconds(small, SMALL), prefill_seconds(large, LARGE)) for _ in range(40)]
    # The fastest turns: whatever else the machine does only adds to the others.
    fastest = [min(seconds) for seconds in zip(*turns, strict=True)]
    ratio = fastest[1] / fastest[0]
    assert ratio < 4, f"a pool of {LARGE} slots makes a call {ratio:.1f} times slower: {fastest} s"
