from __future__ import annotations

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tandem_export.errors import ConfigError
from tandem_export.graphs import BuildOptions, Graph, param_shapes, plan_graphs, state_shapes
from tests.graphs.harness import SHALLOW
from tests.tiny import DRAFTER, INDEPENDENT, ROUTER, TANDEM

SMALL = dataclasses.replace(DRAFTER, num_layers=1)
CONFIGS = {
    "tandem": dataclasses.replace(TANDEM, primary=SHALLOW, drafter=SMALL, layer_map=(1,)),
    "independent": dataclasses.replace(INDEPENDENT, primary=SHALLOW, drafter=SMALL, router=ROUTER),
}
OPTIONS = BuildOptions(batch=(2,), gamma=(1, 3), prompt=(4,), cache=24, max_new=13)
NAMES = {
    "prefill_b1_t4",
    "insert_b2",
    "primary_block_b2_t1",
    "primary_block_b2_t2",
    "primary_block_b2_t4",
    "drafter_step_b2_t1",
    "router_b2",
    "round_b2_g0",
    "round_b2_g1",
    "round_b2_g3",
    "round_router_b2_g1",
    "round_router_b2_g3",
    "generate_b2_s4",
}
SINGLE_STEPS = ["prefill_b1_t4", "primary_block_b2_t2", "drafter_step_b2_t1", "router_b2"]
# An independent drafter catches up with two tokens at once.
MORE = {"tandem": set(), "independent": {"drafter_step_b2_t2"}}


@cache
def planned(kind: str) -> dict[str, Graph]:
    graphs = plan_graphs(CONFIGS[kind], OPTIONS)
    assert len({graph.name for graph in graphs}) == len(graphs)
    return {graph.name: graph for graph in graphs}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_role_in_every_bucket(kind: str) -> None:
    assert set(planned(kind)) == NAMES | MORE[kind]


def test_only_the_roles_that_are_asked_for_and_that_exist() -> None:
    options = dataclasses.replace(OPTIONS, batch=(1, 2), roles=("router", "insert"))
    names = [graph.name for graph in plan_graphs(CONFIGS["tandem"], options)]
    assert sorted(names) == ["insert_b1", "insert_b2", "router_b1", "router_b2"]
    assert plan_graphs(INDEPENDENT, dataclasses.replace(OPTIONS, roles=("router",))) == []


def test_generate_is_left_out_where_prompt_and_answer_do_not_fit_the_cache() -> None:
    # 8 + 14 + 3 > 24: the long prompt bucket has no room for the answer and a block.
    options = dataclasses.replace(OPTIONS, prompt=(4, 8), max_new=14, roles=("generate",))
    names = [graph.name for graph in plan_graphs(CONFIGS["tandem"], options)]
    assert names == ["generate_b2_s4"]


@pytest.mark.parametrize("kind", CONFIGS)
def test_shapes_are_what_the_function_takes_and_state_comes_back_as_it_went(kind: str) -> None:
    for graph in planned(kind).values():
        outputs, state = jax.eval_shape(graph.function, graph.params, graph.state, graph.inputs)
        assert {k: (x.shape, x.dtype) for k, x in state.items()} == {
            k: (x.shape, x.dtype) for k, x in graph.state.items()
        }
        assert all(x.shape[:1] in ((), (graph.batch,)) for x in outputs.values())


def random_arrays(shapes: dict, rng: np.random.Generator) -> dict[str, jax.Array]:
    """Floats around 0, registers and tokens small, so that positions are inside the cache."""

    def drawn(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        whole = leaf.dtype == jnp.int32
        return rng.integers(2, 7, leaf.shape) if whole else rng.normal(size=leaf.shape)

    return {name: jnp.asarray(drawn(leaf), leaf.dtype) for name, leaf in shapes.items()}


def same(one: object, other: object) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", SINGLE_STEPS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_graph_lists_the_parameters_that_matter(kind: str, name: str) -> None:
    graph, rng = planned(kind)[name], np.random.default_rng(0)
    run = jax.jit(graph.function)
    groups = [random_arrays(x, rng) for x in (graph.params, graph.state, graph.inputs)]
    params, state, inputs = groups
    want = run(params, state, inputs)
    for key, value in params.items():
        changed = params | {key: value + jnp.asarray(rng.normal(size=value.shape), value.dtype)}
        assert not same(run(changed, state, inputs), want), f"{key} changes nothing"


def parts(graph: Graph) -> set[str]:
    return {name.split(".")[0] for name in graph.params}


def test_a_graph_lists_the_models_and_caches_it_needs_only() -> None:
    tandem, independent = planned("tandem"), planned("independent")
    assert parts(independent["round_b2_g0"]) == parts(independent["primary_block_b2_t1"])
    assert parts(independent["primary_block_b2_t1"]) == {"primary"}
    assert parts(tandem["round_b2_g3"]) == {"primary", "drafter"}
    assert parts(tandem["round_router_b2_g3"]) == {"primary", "drafter", "router"}
    # A tandem block feeds the drafter's cache: keys and values, but nothing that reads them.
    own = {name for name in tandem["primary_block_b2_t2"].params if name.startswith("drafter")}
    assert own == {
        "drafter.projection.0.weight",
        "drafter.layers.0.attention_norm.weight",
        "drafter.layers.0.attention.k.weight",
        "drafter.layers.0.attention.k_norm.weight",
        "drafter.layers.0.attention.v.weight",
    }
    assert not [name for name in tandem["drafter_step_b2_t1"].params if "projection" in name]
    assert set(independent["primary_block_b2_t1"].state) == {"primary_k.00", "primary_v.00"}
    assert set(independent["drafter_step_b2_t1"].state) == {"drafter_k.00", "drafter_v.00"}
    assert set(tandem["insert_b2"].state) == set(state_shapes(CONFIGS["tandem"], OPTIONS, 2))


def test_round_of_the_whole_pair_takes_every_parameter() -> None:
    config = CONFIGS["tandem"]
    assert planned("tandem")["round_router_b2_g3"].params == param_shapes(config, jnp.float32)
    assert set(planned("tandem")["generate_b2_s4"].params) == set(param_shapes(config, jnp.float32))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"batch": ()}, r"`batch` must be increasing, distinct and at least 1. Got: \(\)"),
        ({"batch": (0, 1)}, r"`batch` must be .* at least 1. Got: \(0, 1\)"),
        ({"gamma": (3, 1)}, r"`gamma` must be increasing"),
        ({"gamma": (3, 3)}, r"`gamma` must be .*distinct"),
        ({"gamma": (0, 3)}, r"`gamma` must be .* at least 1"),
        ({"prompt": (1,)}, r"`prompt` must be .* at least 2"),
        ({"platforms": ()}, r"`platforms` must be sorted, not empty"),
        ({"cache": 255}, r"`cache` must be at least .*256. Got: 255"),
        ({"dtype": "float16"}, r"`dtype` must be one of .*Got: 'float16'"),
        ({"attention": "flash"}, r"`attention` must be one of .*Got: 'flash'"),
        ({"lossless": "yes"}, r"`lossless` must be one of .*Got: 'yes'"),
        ({"roles": ("round", "speed")}, r"`roles` must be from .*Got: 'speed'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_that_break_a_rule_name_it(changed: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BuildOptions(**changed)


def test_parity_and_widths_follow_the_options() -> None:
    exact = BuildOptions()
    numeric = dataclasses.replace(exact, lossless="numeric")
    assert exact.parity == "P0" != numeric.parity
    assert dataclasses.replace(exact, attention="two_part").parity == "P1"
    assert exact.widths(5) == (6,)
    assert numeric.widths(5) == (1, 2, 4, 6)
    assert exact.gamma_of_generate == 5
    assert dataclasses.replace(exact, generate_gamma=3).gamma_of_generate == 3
