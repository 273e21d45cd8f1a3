from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tandem_export.errors import ConfigError
from tandem_export.runtime import AcceptanceRule, SamplingParams


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_new_tokens": 0}, "`max_new_tokens` must be an int of at least 1. Got: 0"),
        (
            {"temperature": -1.0},
            "`temperature` must be 0 (greedy), or a number of 1e-6 .. 1e6. Got: -1.0",
        ),
        ({"temperature": float("nan")}, "Got: nan"),
        ({"temperature": 1e-38}, "Got: 1e-38"),
        ({"temperature": "0.7"}, "Got: '0.7'"),
        ({"temperature": True}, "Got: True"),
        ({"top_p": "x"}, "`top_p`"),
        ({"min_p": [0.5]}, "`min_p`"),
        ({"tau": "x"}, "`tau`"),
        ({"rule": ["gumbel"]}, "`rule` must be one of"),
        ({"mode": {}}, "`mode` must be one of"),
        ({"logprobs": 3}, "`logprobs` must be True or False. Got: 3"),
        ({"ignore_end_tokens": "no"}, "`ignore_end_tokens` must be True or False"),
        ({"top_k": -1}, "`top_k`"),
        ({"top_p": 0.0}, "`top_p` must be a number above 0, at most 1 (1 is off). Got: 0.0"),
        ({"min_p": 1.5}, "`min_p`"),
        ({"seed": 2**64}, "`seed` must be an int of 0 .. 2**64 - 1"),
        ({"rule": "typical"}, "`rule` must be one of ('leviathan', 'gumbel'). Got: 'typical'"),
        ({"mode": "fast"}, "`mode` must be one of"),
        ({"stop": "end"}, "`stop` must be a tuple of non-empty strings. Got: 'end'"),
        ({"stop": ("",)}, "`stop`"),
        ({"stop_token_ids": (-1,)}, "`stop_token_ids`"),
        ({"num_samples": True}, "`num_samples`"),
        ({"gamma": 0}, "use mode 'primary'"),
        ({"tau": 2.0}, "`tau` must be None or a number of 0 .. 1. Got: 2.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        SamplingParams(**options)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, AcceptanceRule.LEVIATHAN),
        ({"rule": "gumbel"}, AcceptanceRule.GUMBEL),
        ({"mode": "standalone"}, AcceptanceRule.STANDALONE),
        ({"mode": "standalone_free", "rule": "gumbel"}, AcceptanceRule.STANDALONE_FREE),
    ],
    ids=str,
)
def test_rule_of_the_graphs(options: dict[str, Any], rule: AcceptanceRule) -> None:
    assert SamplingParams(**options).graph_rule == rule


def test_none_is_the_default_of_each_option() -> None:
    none: dict[str, Any] = {option.name: None for option in dataclasses.fields(SamplingParams)}
    some: dict[str, Any] = {"top_k": 3}
    assert SamplingParams(**none) == SamplingParams()
    assert SamplingParams(**(none | some)) == SamplingParams(top_k=3)


def test_numbers_of_numpy_are_numbers() -> None:
    numbers: dict[str, Any] = {"temperature": np.float32(0.5), "top_p": np.float64(1)}
    assert SamplingParams(**numbers).temperature == 0.5
