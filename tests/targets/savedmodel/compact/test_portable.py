from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from tandem_export.targets import SerializationError
from tandem_export.targets.savedmodel.compact.portable import rewrite
from tandem_export.targets.stablehlo.build import stablehlo_version


def module(function) -> bytes:
    shape = jax.ShapeDtypeStruct((2, 8), jnp.float32)
    return export.export(jax.jit(function), platforms=["cpu"])(shape).mlir_module_serialized


def test_a_module_is_written_for_an_older_version_without_locations() -> None:
    new = module(lambda x: jax.lax.top_k(x, 3)[0])
    old = rewrite(new, "1.1.0")
    assert stablehlo_version(old) == "1.1.0"
    assert tuple(map(int, stablehlo_version(new).split("."))) > (1, 13, 7)
    assert __file__.encode() in new
    assert __file__.encode() not in old
    assert len(old) < len(new)


def test_what_an_older_version_cannot_say_is_an_error() -> None:
    place = np.zeros((2, 1), np.int32)
    batched = module(lambda x: jnp.take_along_axis(x, place, 1))
    with pytest.raises(SerializationError, match=r"expressible in StableHLO 1\.0\.0"):
        rewrite(batched, "1.0.0")


BRANCHES = {
    "constant": (lambda a: a + 1, lambda a: a + 2),
    "attribute": (lambda a: a[:, :4], lambda a: a[:, 4:]),
    "operation": (jnp.sin, jnp.cos),
    "operand": (lambda a: a - a.T, lambda a: a.T - a),
    "nested": (
        lambda a: jax.lax.fori_loop(0, 3, lambda _, x: x * 2, a),
        lambda a: jax.lax.fori_loop(0, 3, lambda _, x: x * 3, a),
    ),
}


@pytest.mark.parametrize(("cpu", "tpu"), BRANCHES.values(), ids=BRANCHES)
def test_branches_that_are_the_same_are_one_and_others_stay(cpu, tpu) -> None:
    """Every matmul is lowered to a `case` over the platforms, here with equal branches."""
    shape = jax.ShapeDtypeStruct((8, 8), jnp.float32)

    def function(x):
        return jnp.dot(x, jax.lax.platform_dependent(x, cpu=cpu, tpu=tpu))

    exported = export.export(jax.jit(function), platforms=["cpu", "tpu"])(shape)
    new, old = exported.mlir_module_serialized, rewrite(exported.mlir_module_serialized, "1.1.0")
    assert text(new).count("stablehlo.dot_general") == 2
    assert text(old).count("stablehlo.dot_general") == 1
    assert "stablehlo.case" in text(old)
    changed = dataclasses.replace(exported, mlir_module_serialized=old)
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    np.testing.assert_array_equal(changed.call(x), exported.call(x))


def text(module: bytes) -> str:
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        return str(stablehlo.deserialize_portable_artifact(context, module))
