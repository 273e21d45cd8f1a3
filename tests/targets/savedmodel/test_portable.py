from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tandem_export.targets import SerializationError
from tandem_export.targets.savedmodel.portable import rewrite
from tandem_export.targets.stablehlo import stablehlo_version


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
