"""The forms of a graph that change how it is computed: the kernel, two rows for one."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from tandem_export.errors import ConfigError
from tandem_export.graphs import Arrays, BuildOptions
from tests.graphs.harness import CACHE, HOSTILE, Pair, pair, params, sampling


def run(made: Pair, name: str, inputs: dict[str, Any]) -> tuple[np.ndarray, Arrays]:
    """Logits and the state after a step over random caches."""
    rng = np.random.default_rng(0)
    batch = len(inputs["start"])
    state: Any = {n: rng.normal(size=x.shape).astype(x.dtype) for n, x in made.empty(batch).items()}
    outputs, state = made.call(name, params(made.config, HOSTILE), state, inputs)
    return np.asarray(outputs["logits"]), state


def test_off_the_tpu_the_kernel_is_two_part_bit_for_bit() -> None:
    block = {"tokens": np.array([[1, 2, 3, 4]] * 4), "start": np.array([0, 1, 7, CACHE - 4])}
    roles = ("primary_block",)
    plain = pair("tandem", 4, 3, "float32", attention="two_part", roles=roles)
    kernel = pair("tandem", 4, 3, "float32", attention="kernel", platforms=("cpu",), roles=roles)
    (want, after), (got, state) = (run(p, "primary_block_b4_t4", block) for p in (plain, kernel))
    np.testing.assert_array_equal(got, want)
    for name in after:
        np.testing.assert_array_equal(state[name], after[name], err_msg=name)


def test_the_kernels_prefill_is_two_part() -> None:
    assert BuildOptions(attention="kernel").prefill_attention == "two_part"
    assert BuildOptions(attention="in_cache").prefill_attention == "in_cache"


@pytest.mark.parametrize("role", ["drafter_step", "primary_block"])
@pytest.mark.parametrize("form", ["in_cache", "two_part"])
@pytest.mark.parametrize("start", [0, 9, CACHE - 1], ids=["first", "middle", "last"])
def test_a_padded_step_is_the_plain_step(start: int, form: str, role: str) -> None:
    """Its second row is not written: at the cache's last place it would move the first one."""
    inputs = {"tokens": np.array([[5]]), "start": np.array([start])}
    options: dict[str, Any] = {"attention": form, "roles": (role,)}
    plain = pair("tandem", 1, 3, "float32", **options)
    padded = pair("tandem", 1, 3, "float32", least_rows=2, **options)
    (want, after), (got, state) = (run(p, f"{role}_b1_t1", inputs) for p in (plain, padded))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-4)
    for name in after:
        np.testing.assert_allclose(state[name], after[name], atol=1e-5, err_msg=name)


def test_two_rows_for_one_leave_the_text_alone() -> None:
    """P0 is a claim about the primary, which verifies more than one: the same tokens."""
    texts = []
    for rows in (1, 2):
        roles = ("prefill", "insert", "round")
        made = pair("tandem", 1, 3, "float32", least_rows=rows, roles=roles)
        weights = params(made.config, 0.15)
        text = made.run("round_b1_g3", weights, made.start(weights, [[3, 1, 4]], [24]), sampling(1))
        assert text.accepted > 0
        texts.append((text.tokens, text.logprob))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("kind", "name", "rows"),
    [
        ("tandem", "drafter_step_b1_t1", {1}),
        ("tandem", "primary_block_b1_t1", {1}),
        ("tandem", "round_b1_g0", {1}),
        ("independent", "round_b1_g1", {1, 2}),
    ],
)
def test_no_product_of_a_padded_graph_has_one_row(kind: str, name: str, rows: set[int]) -> None:
    """Every matrix meets two rows, the drafter's that make its rows of the primary's included."""
    roles = ("primary_block", "drafter_step", "round")
    plain, made = (pair(kind, 1, 1, "float32", least_rows=n, roles=roles) for n in (1, 2))
    assert _rows_of_products(plain, name) == rows
    assert _rows_of_products(made, name) == {2}


def _rows_of_products(made: Pair, name: str) -> set[int]:
    """M of each `[M, D] @ [D, O]` in the graph."""
    graph = made.graphs[name]
    jaxpr = jax.make_jaxpr(graph.function)(graph.params, graph.state, graph.inputs)
    found = set()
    for equation in _equations(jaxpr.jaxpr):
        if equation.primitive.name == "dot_general" and equation.invars[0].aval.ndim == 2:
            found.add(equation.invars[0].aval.shape[0])
    return found


def _equations(jaxpr: Any):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                own = getattr(inner, "jaxpr", inner)
                if hasattr(own, "eqns"):
                    yield from _equations(own)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"least_rows": 3}, r"`least_rows` must be one of \(1, 2\)\. Got: 3"),
        ({"attention": "kernel", "cache": 300}, r"`cache` must be a multiple of 128"),
        ({"attention": "flash"}, "`attention` must be one of .*kernel"),
    ],
    ids=["rows", "kernel-cache", "attention"],
)
def test_options_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        BuildOptions(**options)
