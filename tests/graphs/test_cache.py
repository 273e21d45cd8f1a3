from __future__ import annotations

from functools import cache as remember

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.stdlib_mini.losses import primary_pass
from tandem_export.graphs import AttentionForm
from tandem_export.graphs.state import Block, Cache, read_cache
from tandem_export.graphs.steps.cache import cache_shapes, run_block, write_rows
from tandem_export.model import bind
from tests.tiny import FAMILIES, alone, random_params

B, T, S = 3, 4, 16
START = np.array([2, 5, 8], np.int32)
# Largest difference, as a share of the largest value.
TOLERANCE = {"float32": 1e-5, "bfloat16": 4e-2}
GARBAGE = 1e30
families = pytest.mark.parametrize("family", ["llama", "gemma2"])
dtypes = pytest.mark.parametrize("dtype", list(TOLERANCE))
TOKENS = np.random.default_rng(3).integers(0, 17, (B, S)).astype(np.int32)


@remember
def block(family: str, form: AttentionForm, dtype: str):
    """(cache, tokens [B, T], start [B]) -> (last activations [B, T, D], cache), jitted."""
    config = alone(FAMILIES[family])
    params = {k: x.astype(dtype) for k, x in random_params(config, "primary").items()}

    def run(cache: Cache, tokens: jax.Array, start: jax.Array):
        model = bind(config, "primary", params)
        activations, cache = run_block(model, cache, Block(tokens, start), form)
        return activations[-1].reshape(*tokens.shape, -1), cache

    return jax.jit(run)


def empty(family: str, dtype: str) -> Cache:
    shapes = cache_shapes("primary", FAMILIES[family], B, S, dtype)
    state = {name: jnp.full(leaf.shape, GARBAGE, leaf.dtype) for name, leaf in shapes.items()}
    return read_cache(state, "primary")


def prefixed(family: str, form: AttentionForm, dtype: str) -> Cache:
    """Every row filled up to its own START, garbage from there on."""
    _, cache = block(family, form, dtype)(
        empty(family, dtype), TOKENS[:, : max(START)], np.zeros(B, np.int32)
    )
    unused = (np.arange(S)[None, :] >= START[:, None])[:, None, :, None]
    return [(jnp.where(unused, GARBAGE, k), jnp.where(unused, GARBAGE, v)) for k, v in cache]


def blocks(start: np.ndarray = START, length: int = T) -> np.ndarray:
    """The tokens that continue each row, `[B, length]`."""
    return np.stack([TOKENS[b, start[b] : start[b] + length] for b in range(B)])


def assert_near(got, want, dtype: str) -> None:
    got, want = (np.asarray(x, np.float64) for x in (got, want))
    assert np.abs(got - want).max() <= TOLERANCE[dtype] * np.abs(want).max()


@remember
def whole(family: str) -> np.ndarray:
    """Last activations of whole sequences, `[B, S, D]`, with no cache at all, in float32."""
    config = alone(FAMILIES[family])
    run = jax.jit(lambda p, t: primary_pass(config, p, t)[1].activations[-1])
    return np.asarray(run(random_params(config, "primary"), TOKENS)).reshape(B, S, -1)


def test_rows_are_written_at_each_rows_own_place_and_nowhere_else() -> None:
    cache = np.zeros((B, 2, S, 4), np.float32)
    rows = np.random.default_rng(0).normal(size=(B, 2, T, 4)).astype(np.float32)
    start = np.array([0, 7, S - T], np.int32)
    want = cache.copy()
    for b in range(B):
        want[b, :, start[b] : start[b] + T] = rows[b]
    np.testing.assert_array_equal(jax.jit(write_rows)(cache, rows, start), want)


@families
@dtypes
@pytest.mark.parametrize("form", ["in_cache", "two_part"])
def test_a_ragged_block_is_that_part_of_the_whole_sequence(
    form: AttentionForm, dtype: str, family: str
) -> None:
    cache = prefixed(family, form, dtype)
    got, after = block(family, form, dtype)(cache, blocks(), START)
    want = np.stack([whole(family)[b, START[b] : START[b] + T] for b in range(B)])
    assert_near(got, want, dtype)
    for old, new in zip(jax.tree.leaves(cache), jax.tree.leaves(after), strict=True):
        at = np.arange(S)[None, :]
        written = (at >= START[:, None]) & (at < START[:, None] + T)
        kept = np.broadcast_to(~written[:, None, :, None], old.shape)
        np.testing.assert_array_equal(np.asarray(old)[kept], np.asarray(new)[kept])
        assert np.abs(np.asarray(new, np.float32)[~kept]).max() < 1e6


@families
@dtypes
@pytest.mark.parametrize("form", ["in_cache", "two_part"])
def test_a_block_is_its_single_steps(form: AttentionForm, dtype: str, family: str) -> None:
    run, cache = block(family, form, dtype), prefixed(family, form, dtype)
    want, _ = run(cache, blocks(), START)
    for i in range(T):
        got, cache = run(cache, blocks()[:, i : i + 1], START + i)
        assert_near(got[:, 0], want[:, i], dtype)


@families
@dtypes
def test_in_cache_rows_depend_on_nothing_after_them_bit_for_bit(dtype: str, family: str) -> None:
    """The ground of P0: one width, any drafts, any place in the block."""
    run, cache = block(family, "in_cache", dtype), prefixed(family, "in_cache", dtype)
    first, after = run(cache, blocks(), START)
    other = blocks()
    other[:, 1:] = 16 - other[:, 1:]
    np.testing.assert_array_equal(run(cache, other, START)[0][:, 0], first[:, 0])
    shifted, _ = run(after, blocks(START + 1), START + 1)
    np.testing.assert_array_equal(shifted[:, : T - 1], first[:, 1:])


@pytest.mark.parametrize("form", ["in_cache", "two_part"])
def test_prefill_in_chunks_is_one_prefill(form: AttentionForm) -> None:
    run, zero = block("gemma3", form, "float32"), np.zeros(B, np.int32)
    want, whole_cache = run(empty("gemma3", "float32"), TOKENS[:, :8], zero)
    first, cache = run(empty("gemma3", "float32"), TOKENS[:, :T], zero)
    second, cache = run(cache, TOKENS[:, T:8], zero + T)
    assert_near(np.concatenate([first, second], 1), want, "float32")
    for one, other in zip(jax.tree.leaves(cache), jax.tree.leaves(whole_cache), strict=True):
        assert_near(one[:, :, :8], other[:, :, :8], "float32")
