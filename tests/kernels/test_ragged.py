"""The kernel, interpreted, against its reference; the reference by hand; one operation for both."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.errors import ConfigError
from tandem_export.kernels import check_support, ragged_attention
from tandem_export.kernels.ragged.kernel import kernel
from tandem_export.kernels.ragged.reference import reference
from tandem_export.kernels.ragged.tiling import Tiling, tiling_of
from tests.kernels.cases import CASES, STARTS, Case

# Of results near 1, against the reference in float32.
TOLERANCE = {"float32": 2e-6, "bfloat16": 2e-2}
PLAIN: dict[str, Any] = {"scale": 0.1, "softcap": None, "window": None}
GEMMA2: dict[str, Any] = {"scale": 0.1, "softcap": 2.0, "window": 130}
START = jnp.asarray(STARTS, jnp.int32)


# Compiling is most of the time, and the numbers are the same without optimisation.
@functools.partial(
    jax.jit,
    static_argnames=("scale", "softcap", "window"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def interpreted(*arguments: Any, **parameters: Any) -> Any:
    return kernel(*arguments, **parameters, interpret=True)


def computed(*arguments: Any, **parameters: Any) -> Any:
    return reference(*arguments, **parameters)


def wide(arrays: list[Any]) -> Any:
    return [x.astype(jnp.float32) for x in arrays]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_kernel_computes_the_reference(case: Case) -> None:
    """Every length in one batch, and what lies behind each row's blocks is poisoned."""
    arrays = case.draw()
    block = tiling_of(case.shapes[0], case.shapes[1], case.dtype).block
    want = np.asarray(computed(*wide(arrays), START, **PLAIN))
    got = interpreted(*_poisoned(arrays, block), START, **PLAIN)
    assert got.dtype == case.dtype and got.shape == case.shapes[0]
    np.testing.assert_allclose(np.asarray(got, np.float32), want, atol=TOLERANCE[case.dtype])


def _poisoned(arrays: list[Any], block: int) -> list[Any]:
    """NaN in blocks that a row has not reached, large numbers in the rest of its last block."""
    q, k, v, *own = arrays
    column, start = np.arange(k.shape[2])[None, :], np.array(STARTS)[:, None]
    # A row that has filled nothing still fetches its first block.
    reached = np.maximum(-(-start // block), 1) * block
    bad = np.where(column >= reached, np.nan, np.where(column >= start, 1e30, 0.0))
    bad = jnp.asarray(bad[:, None, :, None], k.dtype)
    return [q, *(jnp.where(bad == 0, x, bad) for x in (k, v)), *own]


@pytest.mark.parametrize("case", [CASES[0], CASES[2]], ids=lambda case: case.id)
def test_softcap_and_window(case: Case) -> None:
    """A window of 130 leaves out the first blocks too: they are poisoned."""
    q, k, v, *own = case.draw()
    gone = np.arange(case.S)[None, :] < np.array(STARTS)[:, None] - 129
    assert gone.any()
    block = tiling_of(q.shape, k.shape, case.dtype).block
    whole = gone.reshape(case.B, -1, block).all(-1).repeat(block, 1)[:, None, :, None]
    want = np.asarray(computed(q, k, v, *own, START, **GEMMA2))
    got = interpreted(q, *(jnp.where(whole, jnp.nan, x) for x in (k, v)), *own, START, **GEMMA2)
    np.testing.assert_allclose(np.asarray(got), want, atol=TOLERANCE[case.dtype])
    assert np.abs(want - np.asarray(computed(q, k, v, *own, START, **PLAIN))).max() > 0.01


def test_the_reference_by_hand() -> None:
    """One token after one of two cached keys: scores 0 and log 3 weigh 1/4 and 3/4."""
    q = jnp.ones((1, 1, 1, 2))
    k_cache = jnp.array([[0.0, 0.0], [9.0, 9.0]]).reshape(1, 1, 2, 2)
    v_cache = jnp.array([[4.0, 0.0], [7.0, 7.0]]).reshape(1, 1, 2, 2)
    k_block = jnp.array([np.log(3.0), 0.0], jnp.float32).reshape(1, 1, 1, 2)
    v_block = jnp.array([0.0, 8.0]).reshape(1, 1, 1, 2)
    out = reference(
        q,
        k_cache,
        v_cache,
        k_block,
        v_block,
        jnp.array([1]),
        scale=1.0,
        softcap=None,
        window=None,
    )
    np.testing.assert_allclose(out.reshape(-1), [1.0, 6.0], rtol=1e-6)


def test_one_artifact_has_the_kernel_for_tpu_and_the_reference_for_cpu() -> None:
    case = CASES[0]
    arrays = [*case.draw(), START]
    function = jax.jit(lambda *a: ragged_attention(*a, **PLAIN))
    both = export.export(function, platforms=("cpu", "tpu"))(*arrays)
    text = both.mlir_module()
    assert text.count("tpu_custom_call") == 1 and both.platforms == ("cpu", "tpu")
    cpu = export.export(function, platforms=("cpu",))(*arrays)
    assert "tpu_custom_call" not in cpu.mlir_module()
    loaded = export.deserialize(both.serialize())
    want = jax.jit(lambda *a: reference(*a, **PLAIN))(*arrays)
    np.testing.assert_array_equal(loaded.call(*arrays), want)
    np.testing.assert_array_equal(ragged_attention(*arrays, **PLAIN), want)


@pytest.mark.parametrize(
    ("cache", "dtype", "text"),
    [
        (200, "float32", r"`cache` must be a multiple of 128 .*Got: 200\. The next is 256"),
        (256, "float16", r"`dtype` must be one of .*Got: 'float16'"),
    ],
    ids=["cache", "dtype"],
)
def test_what_the_kernel_does_not_take(cache: int, dtype: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_support(cache, dtype)


def test_blocks_get_smaller_before_the_kernel_is_refused() -> None:
    def block(T: int) -> int:
        return tiling_of((1, T, 32, 256), (1, 1, 2048, 256), "bfloat16").block

    assert [block(T) for T in (9, 50, 90)] == [512, 256, 128]
    with pytest.raises(ConfigError, match="Use a smaller `gamma`, or `attention` two_part"):
        block(100)


def test_what_pallas_refuses_is_an_error_that_says_what_to_change(monkeypatch) -> None:
    """No shape is known that the checks let pass and Pallas does not: a block of 4 rows is."""
    module = "tandem_export.kernels.ragged.kernel.tiling_of"
    monkeypatch.setattr(module, lambda *shapes: Tiling(block=4, transposed=False))
    leaves = [jax.ShapeDtypeStruct(shape, "float32") for shape in CASES[2].shapes]
    start = jax.ShapeDtypeStruct((6,), "int32")
    function = jax.jit(lambda *a: ragged_attention(*a, **PLAIN))
    with pytest.raises(ConfigError, match="kernel compiler refuses"):
        export.export(function, platforms=("tpu",))(*leaves, start)
