"""What graphs and exports are compared on."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.graphs import BuildOptions, Graph, plan_graphs, plan_rows
from tandem_export.targets import ValueMismatchError
from tandem_export.targets.validate.case import POISON, draw_case
from tandem_export.targets.validate.values import check_values
from tests.targets.toy import leaf, with_function
from tests.tiny import TANDEM

SHAPES = {
    "f": leaf((200,)),
    "h": leaf((200,), jnp.bfloat16),
    "i": leaf((200,), jnp.int32),
    "u": leaf((200,), jnp.uint32),
    "scalar": leaf((), jnp.int32),
}
OPTIONS = BuildOptions(
    batch=(3,), gamma=(2,), prompt=(4,), cache=16, max_new=4, roles=("primary_block", "round")
)


def planned(name: str) -> Graph:
    graphs = plan_rows(TANDEM, OPTIONS) + plan_graphs(TANDEM, OPTIONS)
    return next(graph for graph in graphs if graph.name == name)


def test_values_have_the_shapes_and_suit_any_graph():
    drawn = draw_case(with_function(None, inputs=SHAPES, state={}, params={})).inputs
    assert {name: (v.shape, v.dtype) for name, v in drawn.items()} == {
        name: (v.shape, v.dtype) for name, v in SHAPES.items()
    }
    assert set(drawn["i"]) == set(drawn["u"]) == {1, 2}
    for name in ("f", "h"):
        assert 0 < drawn[name].min() < 0.2 and 0.8 < drawn[name].max() < 1


@pytest.mark.parametrize(
    ("name", "part", "register"),
    [("primary_block_b3_t3", "inputs", "start"), ("round_b3_g2", "state", "position")],
)
def test_every_row_is_at_another_position_and_sees_no_poison(name, part, register):
    case = draw_case(planned(name))
    positions = getattr(case, part)[register]
    assert case.poisoned and positions.tolist() == [13, 6, 0]  # a block of 3 ends at 16, the last
    for kind in ("k", "v"):
        cache = case.state[f"primary_{kind}.00"]
        poison = cache == POISON[kind]
        for row, position in enumerate(positions):
            assert poison[row, :, position:].all() and not poison[row, :, :position].any()


def test_an_export_that_holds_its_state_begins_empty():
    case = draw_case(planned("round_b3_g2"), empty=True)
    assert not case.poisoned and all(not value.any() for value in case.state.values())
    block = draw_case(planned("primary_block_b3_t3"), empty=True)
    assert block.inputs["start"].tolist() == [0, 0, 0]


def test_an_export_that_holds_its_weights_is_given_them():
    graph = planned("primary_block_b3_t3")
    tensors = {name: np.full(leaf.shape, 2.0) for name, leaf in graph.params.items()}
    assert draw_case(graph, tensors | {"more": np.zeros(1)}).params == tensors


@pytest.mark.parametrize("kind", ["k", "v"])
def test_a_graph_that_reads_what_no_row_may_see_is_refused(kind):
    """Graph and export agree: only the poison gives it away."""
    sound = planned("round_b3_g2")

    def leaky(params, state, inputs):
        outputs, after = sound.function(params, state, inputs)
        return outputs | {"seen": state[f"primary_{kind}.00"].sum((1, 2, 3))}, after

    graph = dataclasses.replace(sound, function=leaky)
    text = r"round_b3_g2: output 'seen' must be finite, and small, on caches that are poisoned"
    with pytest.raises(ValueMismatchError, match=text):
        check_values(graph, jax.jit(leaky), draw_case(graph))


def test_a_cache_that_is_written_where_it_should_not_be_is_noticed():
    graph = planned("round_b3_g2")

    def greedy(params, state, inputs):
        outputs, after = graph.function(params, state, inputs)
        last = after["primary_v.00"].at[2, 0, 15, 0].set(0)
        return outputs, after | {"primary_v.00": last}

    with pytest.raises(ValueMismatchError, match=r"state 'primary_v.00' must be within"):
        check_values(graph, jax.jit(greedy), draw_case(graph))
