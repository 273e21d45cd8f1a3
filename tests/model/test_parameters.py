from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tandem_export.errors import CheckpointError
from tandem_export.model import PARTS, Decoder, Drafter, Router, bind, has_part, initialise, shapes
from tests.tiny import EVERY_BIAS, GEMMA3, INDEPENDENT, LLAMA, QWEN3, TANDEM, alone, random_params

PART = pytest.mark.parametrize("part", PARTS)


@PART
def test_names_are_sorted(part):
    names = list(shapes(TANDEM, part))
    assert names == sorted(names) and names


def test_names_of_a_llama():
    layer = shapes(alone(LLAMA), "primary")
    assert layer["embedding.weight"] == (17, 12)
    assert layer["head.weight"] == (12, 17)
    assert {
        name.removeprefix("layers.1."): shape for name, shape in layer.items() if ".1." in name
    } == {
        "attention.k.weight": (12, 8),
        "attention.o.weight": (16, 12),
        "attention.q.weight": (12, 16),
        "attention.v.weight": (12, 8),
        "attention_norm.weight": (12,),
        "ff.down.weight": (20, 12),
        "ff.gate.weight": (12, 20),
        "ff.up.weight": (12, 20),
        "ff_norm.weight": (12,),
    }


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        pytest.param(QWEN3, {"attention.q_norm.weight", "attention.k_norm.weight"}, id="qk-norm"),
        pytest.param(
            GEMMA3,
            {
                "attention.q_norm.weight",
                "attention.k_norm.weight",
                "attention_post_norm.weight",
                "ff_post_norm.weight",
            },
            id="post-norms",
        ),
        pytest.param(
            EVERY_BIAS,
            {f"attention.{name}.bias" for name in "qkvo"}
            | {f"ff.{name}.bias" for name in ("gate", "up", "down")},
            id="biases",
        ),
    ],
)
def test_options_add_tensors(config, extra):
    def names(decoder):
        return {name for name in shapes(alone(decoder), "primary") if name.startswith("layers.0.")}

    assert names(config) - names(LLAMA) == {f"layers.0.{name}" for name in extra}


def test_a_tied_decoder_has_no_head():
    assert "head.weight" not in shapes(alone(QWEN3), "primary")


def test_a_projection_maps_primary_width_to_drafter_width():
    layer = shapes(TANDEM, "drafter")
    assert layer["projection.0.weight"] == layer["projection.1.weight"] == (12, 6)


@PART
def test_initial_values_fit_the_shapes_and_follow_the_seed(part):
    first, again, other = (initialise(TANDEM, part, seed) for seed in (1, 1, 2))
    assert {name: value.shape for name, value in first.items()} == shapes(TANDEM, part)
    assert {value.dtype for value in first.values()} == {jnp.dtype("float32")}
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("part", "kind"), [("primary", Decoder), ("drafter", Drafter), ("router", Router)]
)
def test_bound_modules_hold_the_given_values(part, kind):
    params = random_params(TANDEM, part)
    module = bind(TANDEM, part, params)
    assert type(module) is kind
    back = {
        ".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(module))
    }
    assert back.keys() == params.keys()
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_binding_works_under_jit_and_differentiates():
    params = random_params(TANDEM, "primary")

    def loss(params):
        return bind(TANDEM, "primary", params).embed(jnp.array([[2, 2]])).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert gradient["embedding.weight"].shape == (17, 12)
    np.testing.assert_array_equal(gradient["embedding.weight"][2], np.full(12, 2.0))
    assert not gradient["head.weight"].any()


def test_a_missing_tensor_is_named():
    params = random_params(TANDEM, "router")
    del params["out.bias"]
    with pytest.raises(CheckpointError, match=r"missing: \['out\.bias'\], unknown: \[\]\. Got: 3"):
        bind(TANDEM, "router", params)


def test_an_unknown_tensor_is_named():
    params = random_params(TANDEM, "router") | {"out.scale": jnp.ones(1)}
    with pytest.raises(CheckpointError, match=r"missing: \[\], unknown: \['out\.scale'\]\. Got: 5"):
        bind(TANDEM, "router", params)


@pytest.mark.parametrize(("config", "want"), [(TANDEM, True), (INDEPENDENT, False)])
def test_the_router_is_optional(config, want):
    assert [has_part(config, part) for part in PARTS] == [True, True, want]
