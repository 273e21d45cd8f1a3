from __future__ import annotations

import numpy as np
import pytest

from tandem_export.errors import RequestError
from tandem_export.serving import Field, NotHeld, Signature
from tandem_export.serving.protocol import (
    NOT_HELD,
    check_call,
    is_repeatable,
    refusal,
    refused,
    warmup_inputs,
)

SIGNATURES = {"insert": Signature({"slots": Field((1,), "int32")}, {"epoch": Field((), "int32")})}


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("`top_p` must be above 0", RequestError),
        (NOT_HELD, NotHeld),
        (NOT_HELD.replace("slots", "target", 1), NotHeld),
    ],
    ids=["rule", "slots", "target"],
)
def test_a_refusal_is_found_in_an_engines_text(rule, kind) -> None:
    text = f"Graph execution error: assertion failed: [{refusal(rule)}9 (row 2)]\n\t [[{{node x}}]]"
    error = refused("round_b1_g3", text)
    assert type(error) is kind
    assert str(error) == f"round_b1_g3: {rule}. Got: 9 (row 2)"


def test_another_error_is_no_refusal() -> None:
    assert refused("insert", "Executor failed to create kernel. NOT_FOUND") is None


@pytest.mark.parametrize(
    ("signature", "inputs", "text"),
    [
        ("round_b3_g1", {}, r"one of \['insert'\]. Got: 'round_b3_g1'"),
        ("insert", {}, r"inputs must be \['slots'\]. Got: \[\]"),
        ("insert", {"slots": np.zeros(2, np.int32)}, r"must be int32\[1\]. Got: int32\[2\]"),
        ("insert", {"slots": np.zeros(1, np.int64)}, r"must be int32\[1\]. Got: int64\[1\]"),
    ],
    ids=["signature", "names", "shape", "dtype"],
)
def test_a_call_that_does_not_fit_is_not_sent(signature, inputs, text) -> None:
    with pytest.raises(RequestError, match=text):
        check_call(SIGNATURES, signature, inputs)


def test_only_calls_without_lasting_effect_are_repeated() -> None:
    names = ("generate_b1_s4", "serving_default", "router_b1", "release")
    assert all(map(is_repeatable, names))
    kept = ("claim", "prefill_b1_t4", "insert", "round_b1_g1", "primary_block_b1_t4")
    assert not any(map(is_repeatable, kept))


def test_warm_up_inputs_aim_at_the_scratch_slot() -> None:
    shapes = {"slots": Field((2,), "int32"), "owner": Field((1,), "int32")}
    made = warmup_inputs(shapes | {"top_p": Field((2,), "float32")}, scratch=8)
    assert {name: value.tolist() for name, value in made.items()} == {
        "slots": [8, 8],
        "owner": [1],
        "top_p": [1.0, 1.0],
    }
