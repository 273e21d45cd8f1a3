"""The reader of StableHLO's bytes: what it says, and that bytes of any kind cannot upset it."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from tandem_export.bundle.vetting import Malformed, read_module
from tests.bundle import sample

FLOATS = jax.ShapeDtypeStruct((2, 3), jnp.float32)


def written(function, platform: str = "cpu", **options) -> bytes:
    """The portable artifact of a function of one array `[2, 3]`."""
    return export.export(jax.jit(function), platforms=[platform], **options)(
        FLOATS
    ).mlir_module_serialized


def test_a_module_by_hand() -> None:
    """It returns position + table[0, 0], and position + 1."""
    module = read_module(sample.MODULE)
    assert module.arguments == (((4, 3), "float32"), ((2,), "int32"))
    assert module.results == (((2,), "int32"), ((2,), "int32"))
    assert {"add", "convert", "func", "module", "return"} <= module.operations
    assert module.custom_calls == module.composites == ()


def looped(x):
    """A branch in a loop, a sort, a function that is called, several dtypes."""
    many = jax.lax.fori_loop(0, 3, lambda _, y: jnp.where(y > 0, jnp.sort(y), jnp.sin(y)), x)
    return jax.lax.cond(jnp.any(many > 1), jax.jit(jnp.exp), jnp.log, many).astype(jnp.bfloat16)


@pytest.mark.parametrize("function", [looped, lambda x: jax.lax.top_k(x, 2)], ids=["loop", "top-k"])
def test_every_operation_that_the_engines_own_reader_sees_is_listed(function) -> None:
    data, seen = written(function), set()
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        parsed = stablehlo.deserialize_portable_artifact(context, data)

        def note(operation):
            seen.add(operation.name.partition(".")[2])
            return ir.WalkResult.ADVANCE

        parsed.operation.walk(note)
    assert read_module(data).operations == seen


def test_custom_calls_and_composites_are_named() -> None:
    def function(x):
        own = jax.ffi.ffi_call("some_target", FLOATS)(x) + jax.lax.top_k(x, 3)[0]
        return jax.lax.cond(own[0, 0] > 0, lambda: own, lambda: jax.lax.empty((2, 3), own.dtype))

    checks = [export.DisabledSafetyCheck.custom_call("some_target")]
    module = read_module(written(function, "tpu", disabled_checks=checks))
    assert module.custom_calls == ("AllocateBuffer", "some_target")
    assert module.composites == ("chlo.top_k",)


@pytest.mark.parametrize("cut", [0, 3, 4, 25, 300, -1], ids=str)
def test_cut_bytes_are_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        read_module(sample.MODULE[:cut])


def test_text_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"must begin with b'ML.* Got: b'modu'"):
        read_module(b"module {}")


def test_another_dialect_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"dialects must be among \('builtin', 'vhlo'\)"):
        read_module(sample.MODULE.replace(b"vhlo\0", b"llvm\0"))


def test_changed_bytes_are_read_or_malformed() -> None:
    """Nothing else is raised, and nothing takes long: counts are checked against what follows."""
    draw, refused = random.Random(0), 0
    for _ in range(4000):
        data = bytearray(sample.MODULE)
        for _ in range(draw.choice([1, 1, 2, 8])):
            data[draw.randrange(len(data))] = draw.choice(
                [0, 1, 2, 0x7F, 0xFF, draw.randrange(256)]
            )
        try:
            read_module(bytes(data))
        except Malformed:
            refused += 1
    assert 1000 < refused < 4000
