from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_export.contract import Stream
from tandem_export.graphs.numerics import threefry as random
from tandem_export.runtime.reference import threefry as reference

# Random123 1.14, kat_vectors: threefry2x32, 20 rounds: counter, key, result.
VECTORS = [
    ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
    ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
    ("243f6a88 85a308d3", "13198a2e 03707344", "c4923a9c 483df7a0"),
]
WORD = st.integers(0, 2**32 - 1)
LANES = 7

uniform = jax.jit(random.uniform, static_argnums=(2, 3))
gumbel = jax.jit(random.gumbel, static_argnums=(2, 3))


def words(text: str) -> tuple[jax.Array, jax.Array]:
    first, second = (jnp.uint32(int(word, 16)) for word in text.split())
    return first, second


@pytest.mark.parametrize(("counter", "key", "want"), VECTORS, ids=["zeros", "ones", "pi"])
def test_threefry_gives_the_published_vectors(counter: str, key: str, want: str) -> None:
    got = random.threefry2x32(words(key), words(counter))
    assert [int(word) for word in got] == [int(word) for word in words(want)]


@given(low=WORD, high=WORD, position=st.integers(0, 2**31 - 2))
@pytest.mark.parametrize("stream", [Stream.TOKEN, Stream.ACCEPT, Stream.RESIDUAL])
def test_noise_is_that_of_the_numpy_twin(stream: int, low: int, high: int, position: int) -> None:
    seed = np.array([[low, high], [high, low]], np.uint32)
    places = np.array([position, position + 1], np.int32)
    bits = np.asarray(uniform(seed, places, stream, LANES))
    noise = np.asarray(gumbel(seed, places, stream, LANES))
    for b in range(2):
        at = (seed[b], int(places[b]), stream)
        want = [reference.uniform(*at, lane) for lane in range(LANES)]
        np.testing.assert_array_equal(bits[b], want)
        np.testing.assert_allclose(noise[b], reference.gumbel(*at, LANES), rtol=2e-6, atol=1e-6)


@given(low=WORD, high=WORD, position=WORD, lanes=st.integers(1, 9))
@pytest.mark.parametrize("stream", [Stream.TOKEN, Stream.RESIDUAL])
def test_the_form_for_tpus_gives_the_same_words(
    stream: int, lanes: int, low: int, high: int, position: int
) -> None:
    seed, at = jnp.array([[low, high]], jnp.uint32), jnp.array([position], jnp.uint32)
    ways = (random.words_by_block, random.words_by_lane)
    block = jnp.uint32(stream << 28)
    one, other = (np.asarray(way(seed, at, block, lanes=lanes)) for way in ways)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (1, lanes)


@pytest.mark.parametrize("word", [0, 2**32 - 1], ids=["smallest", "largest"])
def test_noise_is_finite_for_every_word(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (jnp.full((1, 1), word, jnp.uint32),) * 2
    monkeypatch.setattr(random, "threefry2x32", lambda *_: both)
    seed, place = jnp.zeros((1, 2), jnp.uint32), jnp.zeros((1,), jnp.int32)
    u = random.uniform(seed, place, Stream.TOKEN)
    assert 0 < float(u[0, 0]) < 1
    assert bool(jnp.isfinite(random.gumbel(seed, place, Stream.TOKEN, 2)).all())
