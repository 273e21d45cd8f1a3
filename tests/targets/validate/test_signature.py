from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax import export

from tandem_export.targets import (
    DonationError,
    DtypeMismatchError,
    NameMismatchError,
    SerializationError,
    ShapeMismatchError,
    export_graph,
)
from tandem_export.targets.stablehlo.build import _load
from tandem_export.targets.validate.signature import check_donation, check_signature
from tests.targets.toy import TOY, leaf, step, with_function


def exported(donated: tuple[int, ...] = (1,), platforms=("cpu",), function=step) -> export.Exported:
    jitted = jax.jit(function, donate_argnums=donated)
    return export.export(jitted, platforms=platforms)(TOY.params, TOY.state, TOY.inputs)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        (
            {"params": {"primary.other": leaf((5, 3))}},
            NameMismatchError,
            r"params must be \['primary\.other'\]\. Got: \['primary\.table'\]",
        ),
        ({"inputs": {}}, NameMismatchError, r"inputs must be \[\]"),
        (
            {"inputs": {"tokens": leaf((3,), jnp.int32)}},
            ShapeMismatchError,
            r"inputs 'tokens' must have shape \(3,\)\. Got: \(2,\)",
        ),
        (
            {"inputs": {"tokens": leaf((2,), jnp.uint32)}},
            DtypeMismatchError,
            r"inputs 'tokens' must have dtype uint32\. Got: int32",
        ),
    ],
    ids=["names", "arity", "shape", "dtype"],
)
def test_an_export_of_another_graph_is_noticed(changes, error, text):
    with pytest.raises(error, match=text):
        check_signature(exported(), dataclasses.replace(TOY, **changes))


@pytest.mark.parametrize("platforms", [("cpu",), ("cpu", "tpu")], ids=["cpu", "cpu-tpu"])
def test_donation_is_looked_up_in_the_module(platforms):
    check_donation(exported(platforms=platforms), TOY)
    with pytest.raises(DonationError, match=r"Got: not donated: \['cache', 'position'\]"):
        check_donation(exported(donated=(), platforms=platforms), TOY)


def test_donating_something_else_is_not_enough():
    with pytest.warns(UserWarning, match="Some donated buffers"):
        wrong = exported(donated=(2, 0))
    with pytest.raises(DonationError):
        check_donation(wrong, TOY)


def count_first(params, state, inputs):
    """Returns an output of the shape of a register, which jax gives the register's place."""
    return {"count": inputs["tokens"] * 2}, step(params, state, inputs)[1]


def test_a_result_in_the_place_of_another_array_is_noticed():
    with pytest.raises(DonationError, match=r"Got: results \{'position': 0\} there instead"):
        check_donation(exported(function=count_first), TOY)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_every_state_array_keeps_its_place(platform):
    graph = with_function(count_first, outputs={"count": leaf((2,), jnp.int32)})
    made = export_graph(graph, platform)
    loaded = _load("toy", made.artifact.jax_export)
    check_donation(loaded, TOY)
    assert made.artifact.stablehlo == loaded.mlir_module_serialized
    assert "tf.aliasing_output = 2" in loaded.mlir_module()


@pytest.mark.parametrize("cut", [0, 5, 500], ids=str)
def test_cut_bytes_cannot_be_read_back(cut):
    whole = bytes(exported().serialize())
    _load("toy", whole)
    with pytest.raises(SerializationError, match="toy: its bytes cannot be read back"):
        _load("toy", whole[:cut])
