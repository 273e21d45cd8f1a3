from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.model.attention import (
    at_once,
    attend,
    causal_mask,
    group_queries,
    ungroup_queries,
)
from tests.model import reference

HEADS = [
    pytest.param(4, 4, id="multi-head"),
    pytest.param(4, 2, id="grouped"),
    pytest.param(4, 1, id="multi-query"),
]


def random_qkv(num_heads, num_kv_heads, T=3, S=5, B=2, H=4, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(B, T, num_heads, H))
    k, v = rng.normal(size=(2, B, num_kv_heads, S, H))
    return tuple(jnp.asarray(x, jnp.float32) for x in (q, k, v))


def last_rows(T, S, B=2, window=None):
    """The mask of the last T of S positions."""
    positions = jnp.broadcast_to(jnp.arange(S), (B, S))
    return causal_mask(positions[:, S - T :], positions, window)


def test_causal_mask_by_hand():
    mask = causal_mask(jnp.array([[1, 2]]), jnp.array([[0, 1, 2, 3]]))
    np.testing.assert_array_equal(mask[0], [[1, 1, 0, 0], [1, 1, 1, 0]])


def test_a_window_counts_the_token_itself():
    mask = causal_mask(jnp.array([[1, 2, 3]]), jnp.array([[0, 1, 2, 3]]), 2)
    np.testing.assert_array_equal(mask[0], [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])


def test_rows_of_a_batch_have_their_own_positions():
    mask = causal_mask(jnp.array([[0], [2]]), jnp.array([[0, 1, 2], [0, 1, 2]]))
    np.testing.assert_array_equal(mask[:, 0], [[1, 0, 0], [1, 1, 1]])


def test_query_groups_follow_their_key_value_head():
    # N = 4 query heads, K = 2: heads 0, 1 read the first, 2, 3 the second. The value tells (t, n).
    q = jnp.arange(8.0).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(group_queries(q, 2)[0, :, :, 0], [[0, 4, 1, 5], [2, 6, 3, 7]])


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), HEADS)
def test_ungrouping_inverts_grouping(num_heads, num_kv_heads):
    q, _, _ = random_qkv(num_heads, num_kv_heads)
    np.testing.assert_array_equal(ungroup_queries(group_queries(q, num_kv_heads), 3), q)


def test_attention_by_hand():
    # Scores log 1 and log 3 give weights 1/4 and 3/4.
    q = jnp.ones((1, 1, 1, 2))
    k = jnp.array([[0.0, 0.0], [np.log(3.0), 0.0]]).reshape(1, 1, 2, 2)
    v = jnp.array([[4.0, 0.0], [0.0, 8.0]]).reshape(1, 1, 2, 2)
    out = attend(q, [(k, v, jnp.ones((1, 1, 2), bool))], scale=1.0)
    np.testing.assert_allclose(out.reshape(-1), [1.0, 6.0], rtol=1e-6)


@pytest.mark.parametrize("softcap", [None, 0.7], ids=["plain", "softcap"])
@pytest.mark.parametrize("window", [None, 2], ids=["global", "window"])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), HEADS)
def test_attention_matches_a_plain_loop(num_heads, num_kv_heads, window, softcap):
    q, k, v = random_qkv(num_heads, num_kv_heads)
    mask = last_rows(3, 5, window=window)
    got = attend(q, [(k, v, mask)], scale=0.6, softcap=softcap)
    for row in range(2):
        exact = [np.asarray(x[row], np.float64) for x in (q, k, v)]
        key, value = (x.transpose(1, 0, 2) for x in exact[1:])
        visible = np.asarray(mask[row])
        want = reference.attention(exact[0], key, value, visible, 0.6, softcap)
        np.testing.assert_allclose(got[row], want, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 0.7], ids=["plain", "softcap"])
@pytest.mark.parametrize("split", [1, 3])
def test_two_parts_are_as_their_concatenation(split, softcap):
    q, k, v = random_qkv(4, 2)
    mask = last_rows(3, 5)
    parts = [
        (k[:, :, :split], v[:, :, :split], mask[..., :split]),
        (k[:, :, split:], v[:, :, split:], mask[..., split:]),
    ]
    whole = attend(q, [(k, v, mask)], scale=0.5, softcap=softcap)
    np.testing.assert_allclose(attend(q, parts, scale=0.5, softcap=softcap), whole, atol=1e-6)


def test_a_part_that_is_masked_adds_nothing():
    q, k, v = random_qkv(4, 2)
    mask = last_rows(3, 5)
    hidden = (k * 3, v * 3, jnp.zeros_like(mask))
    np.testing.assert_array_equal(
        attend(q, [(k, v, mask), hidden], scale=0.5), attend(q, [(k, v, mask)], scale=0.5)
    )


def test_masked_positions_have_no_influence():
    q, k, v = random_qkv(4, 2)
    mask = jnp.broadcast_to(jnp.arange(5) < 3, (2, 3, 5))
    poisoned = (k.at[:, :, 3:].set(1e9), v.at[:, :, 3:].set(1e9), mask)
    np.testing.assert_array_equal(
        attend(q, [poisoned], scale=0.5), attend(q, [(k, v, mask)], scale=0.5)
    )


def test_a_row_that_sees_nothing_gives_numbers():
    q, k, v = random_qkv(4, 2)
    out = attend(q, [(k, v, jnp.zeros((2, 3, 5), bool))], scale=0.5)
    assert bool(jnp.isfinite(out).all())


@pytest.mark.parametrize(
    ("shape", "K", "S", "want"),
    [
        ((1, 256, 32, 128), 8, 1024, (8, 256)),  # 32 MiB of scores
        ((1, 256, 32, 128), 8, 2048, (4, 256)),
        ((1, 256, 32, 128), 6, 5120, (1, 256)),  # 5 pieces: the next divisor of 6
        ((1, 256, 32, 128), 2, 4096, (1, 128)),  # two heads are not enough
        ((1, 256, 32, 128), 1, 2048, (1, 128)),
        ((1, 256, 32, 128), 1, 16384, (1, 64)),  # never fewer
        ((64, 3, 32, 128), 8, 8192, (8, 3)),  # a block is whole whatever its size
    ],
)
def test_what_attends_at_once(shape, K, S, want):
    assert at_once(shape, K, S) == want


@pytest.mark.parametrize(
    ("K", "S", "want"),
    [
        (8, 8192, (8, 256)),  # 32 MiB of scores on each of 8 chips
        (8, 16384, (8, 128)),
        (1, 8192, (1, 256)),  # its queries are shared
        (4, 2048, (2, 256)),  # does not divide: every chip has 64 MiB
    ],
)
def test_heads_that_chips_share_stay_together(K, S, want):
    mesh = jax.sharding.AbstractMesh((8,), ("chips",))
    with jax.sharding.use_abstract_mesh(mesh):
        assert at_once((1, 256, 32, 128), K, S) == want


@pytest.mark.parametrize(
    ("K", "S", "want"),
    [(2, 4001, (1, 276)), (1, 4001, (1, 138)), (2, 8002, (1, 184))],
    ids=["heads", "queries", "both"],
)
def test_pieces_are_the_whole(K, S, want):
    """Pieces of heads with their own part of the cache, of queries with that of the mask."""
    rng, (T, N, H) = np.random.default_rng(0), (276, 8, 4)
    q, k, v = (rng.normal(0, 1, s).astype(np.float32) for s in ((1, T, N, H), *[(1, K, S, H)] * 2))
    mask = np.asarray(causal_mask(jnp.arange(T)[None] + 3000, jnp.arange(S)[None]))
    assert at_once(q.shape, K, S) == want
    got = attend(jnp.array(q), [(jnp.array(k), jnp.array(v), jnp.array(mask))], scale=0.5)
    for at in (0, 137, 138, 183, 184, 275):
        one = [(jnp.array(k), jnp.array(v), jnp.array(mask[:, at : at + 1]))]
        [row] = attend(jnp.array(q[:, at : at + 1]), one, scale=0.5)
        np.testing.assert_allclose(got[0, at], row[0], atol=1e-6)


def test_the_queries_dtype_is_kept():
    q, k, v = (x.astype(jnp.bfloat16) for x in random_qkv(4, 2))
    assert attend(q, [(k, v, last_rows(3, 5))], scale=0.5).dtype == jnp.bfloat16
