from __future__ import annotations

import dataclasses

import pytest

from tandem_export.errors import ConfigError
from tandem_export.graphs import BuildOptions, left_out, plan_graphs
from tests.tiny import INDEPENDENT, TANDEM

# 8 + 14 + 3 > 24: the longer prompt bucket has no room for the answer and a draft.
TIGHT = BuildOptions(batch=(2,), gamma=(3,), prompt=(4, 8), cache=24, max_new=14)


def test_where_everything_fits_nothing_is_left_out() -> None:
    assert left_out(TANDEM, dataclasses.replace(TIGHT, cache=25)) == ()


def test_a_bucket_that_does_not_fit_comes_with_the_numbers_that_do() -> None:
    [one] = left_out(TANDEM, TIGHT)
    assert str(one) == (
        "`generate` of prompt bucket 8 is not built: the prompt, `max_new` 14 and drafts of 3 take "
        "25 positions, and `cache` is 24; it fits with `cache` of at least 25, or `max_new` of at "
        "most 13"
    )
    for fits in ({"cache": 25}, {"max_new": 13}):
        options = dataclasses.replace(TIGHT, **fits)
        assert "generate_b2_s8" in {graph.name for graph in plan_graphs(TANDEM, options)}


def test_no_answer_is_promised_where_the_prompt_alone_is_too_long() -> None:
    options = dataclasses.replace(TIGHT, prompt=(8, 22))
    assert [str(one).endswith("at least 39") for one in left_out(TANDEM, options)] == [False, True]


def test_without_a_router_its_roles_are_left_out() -> None:
    gone = left_out(INDEPENDENT, dataclasses.replace(TIGHT, cache=32))
    assert [one.role for one in gone] == ["router", "round_router"]
    assert str(gone[0]) == "`router` is not built: the checkpoint has no router"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"roles": ("generate",), "prompt": (8,)}, "`generate` of prompt bucket 8 is not built"),
        ({"roles": ("round", "router")}, "`router` is not built: the checkpoint has no router"),
    ],
    ids=["generate", "router"],
)
def test_a_role_that_was_named_and_cannot_be_built_is_an_error(options, text) -> None:
    with pytest.raises(ConfigError, match="`roles` asks for graphs that cannot be built: ") as got:
        left_out(INDEPENDENT, dataclasses.replace(TIGHT, **options))
    assert text in str(got.value)


def test_one_bucket_of_a_named_role_is_enough() -> None:
    [one] = left_out(TANDEM, dataclasses.replace(TIGHT, roles=("generate",)))
    assert one.width == 8
