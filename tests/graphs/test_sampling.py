from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_export.graphs.numerics.sampling import choose, processed_log_probs
from tandem_export.graphs.state import Sampling
from tandem_export.runtime.reference import sampling as reference
from tests.graphs.harness import sampling

B = 4
P = np.array([0.5, 0.2, 0.2, 0.1], np.float32)  # a tie on ids 1 and 2
process = jax.jit(lambda logits, inputs: processed_log_probs(logits, Sampling.read(inputs)))
OPTIONS = ("temperature", "top_k", "top_p", "min_p")


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [0.5, 0.2, 0.2, 0.1]),
        ({"temperature": 0.5}, [0.73529, 0.11765, 0.11765, 0.02941]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 2}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_k": 9}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 0.49}, [1, 0, 0, 0]),
        ({"top_p": 0.6}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_p": 0.95}, [0.5, 0.2, 0.2, 0.1]),
        ({"top_p": 0.0}, [1, 0, 0, 0]),
        ({"min_p": 0.3}, [0.55556, 0.22222, 0.22222, 0]),
        # Of p = [5/9, 2/9, 2/9] the second has 5/9 before it, so top_p is over what top-k kept.
        ({"top_k": 2, "top_p": 0.56}, [0.55556, 0.22222, 0.22222, 0]),
        ({"top_k": 2, "top_p": 0.52}, [1, 0, 0, 0]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_processing_by_hand(options: dict[str, float], want: list[float]) -> None:
    inputs = sampling(1, **({"temperature": 1.0} | options))
    got = np.exp(process(np.log(P)[None], inputs))[0]
    np.testing.assert_allclose(got, want, atol=2e-5)


def random_options(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
    """One set a row, some filters off, some rows greedy."""
    on = rng.random((len(OPTIONS), B)) < 0.6
    drawn = {
        "temperature": rng.uniform(0.2, 2, B) * on[0],
        "top_k": rng.integers(1, size + 2, B) * on[1],
        "top_p": np.where(on[2], rng.uniform(0.01, 0.99, B), 1),
        "min_p": rng.uniform(0.01, 0.99, B) * on[3],
    }
    return sampling(B, **drawn)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), grid=st.sampled_from([0, 0.5, 2.0]))
@pytest.mark.parametrize("size", [2, 5, 33], ids=lambda size: f"V={size}")
def test_every_row_is_processed_as_by_the_reference(size: int, grid: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (B, size)).astype(np.float32)
    logits = np.round(logits / grid) * np.float32(grid) if grid else logits  # a grid makes ties
    inputs = random_options(rng, size)
    got = np.asarray(process(logits, inputs))
    assert np.isfinite(got.max(-1)).all()
    for b in range(B):
        options = {name: inputs[name][b].item() for name in OPTIONS}
        if options["temperature"] > 0:  # a greedy row is not sampled from
            want = reference.processed_log_probs(logits[b], **options)
            np.testing.assert_allclose(got[b], want, rtol=2e-5, atol=2e-5)


def test_choose_takes_the_lowest_id_of_a_tie_and_nothing_filtered_out() -> None:
    log_p = jnp.array([[-jnp.inf, -1.0, -1.0]])
    noise = jnp.array([[16.6, 0.5, 0.5]])
    assert choose(log_p, noise).tolist() == [1]
