from __future__ import annotations

from typing import Any

import pytest

from tandem_export.errors import ConfigError
from tandem_export.runtime import Rule, SamplingParams


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_new_tokens": 0}, "`max_new_tokens` must be an int of at least 1. Got: 0"),
        ({"temperature": -1.0}, "`temperature` must be 0 or positive. Got: -1.0"),
        ({"temperature": float("nan")}, "Got: nan"),
        ({"top_k": -1}, "`top_k`"),
        ({"top_p": 0.0}, "`top_p` must be above 0, at most 1 (1 is off). Got: 0.0"),
        ({"min_p": 1.5}, "`min_p`"),
        ({"seed": 2**64}, "`seed` must be an int of 0 .. 2**64 - 1"),
        ({"rule": "typical"}, "`rule` must be one of ('leviathan', 'gumbel'). Got: 'typical'"),
        ({"mode": "fast"}, "`mode` must be one of"),
        ({"stop": "end"}, "`stop` must be a tuple of non-empty strings. Got: 'end'"),
        ({"stop": ("",)}, "`stop`"),
        ({"stop_token_ids": (-1,)}, "`stop_token_ids`"),
        ({"num_samples": True}, "`num_samples`"),
        ({"gamma": 0}, "use mode 'primary'"),
        ({"tau": 2.0}, "`tau` must be None or between 0 and 1. Got: 2.0"),
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
        ({}, Rule.LEVIATHAN),
        ({"rule": "gumbel"}, Rule.GUMBEL),
        ({"mode": "standalone"}, Rule.STANDALONE),
        ({"mode": "standalone_free", "rule": "gumbel"}, Rule.STANDALONE_FREE),
    ],
    ids=str,
)
def test_rule_of_the_graphs(options: dict[str, Any], rule: Rule) -> None:
    assert SamplingParams(**options).graph_rule == rule
