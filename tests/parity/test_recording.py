from __future__ import annotations

import numpy as np
import pytest

from tandem_export.parity.recording import Recorder
from tandem_export.runtime import Engine, Limits, SamplingParams
from tandem_export.runtime.testing import CACHE, DRAFTER, PRIMARY, ToyExecutor, V

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11], [2, 2]]


@pytest.mark.parametrize("mode", ["speed", "primary"])
def test_each_committed_place_has_the_primarys_logits(mode) -> None:
    """Four requests over two slots, lengths all different, so slots are refilled out of step."""
    gammas = {"round": (0, 3)}
    limits = Limits(batch=2, cache=CACHE, vocab_size=V, gammas=gammas, gamma=3)  # type: ignore[arg-type]
    recorder = Recorder(ToyExecutor(2, PRIMARY, DRAFTER))
    engine = Engine(recorder, limits, driver="steps")
    params = [SamplingParams(max_new_tokens=4 + 3 * i, mode=mode, gamma=3) for i in range(4)]
    results = engine.generate(PROMPTS, params)
    kept = recorder.take()
    assert len(kept) == len(results)
    for prompt, result, logits in zip(PROMPTS, results, kept, strict=True):
        whole = np.array([*prompt, *result.tokens])
        for i in range(len(result.tokens)):
            want = PRIMARY.logits(whole, len(prompt) - 1 + i)
            np.testing.assert_array_equal(logits[i], want)
    assert recorder.take() == []
