"""Metadata has the kind and range that its reader expects, or an error names the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tandem_export.errors import CheckpointError
from tandem_export.storage import Fields

FIELDS = Fields(
    values={
        "m.count": 4,
        "m.heads": np.array([4, 4, 4], np.int32),
        "m.mixed": np.array([4, 2], np.int32),
        "m.none": np.array([], np.int32),
        "m.rate": 0.5,
        "m.nan": float("nan"),
        "m.name": "x",
        "m.on": True,
        "m.names": ["a", "b"],
        "m.scores": np.array([0.5, 1.0], np.float32),
    },
    error=CheckpointError,
    prefix="m.",
    defaults={"base": 10.0},
)


def test_values_of_each_kind() -> None:
    assert FIELDS.integer("count", 0, 9) == 4
    assert FIELDS.integer("heads", 0, 9) == 4
    assert FIELDS.number("rate", 0, 1) == 0.5 and FIELDS.number("count", 0, 9) == 4.0
    assert FIELDS.number("base", 0, 100) == 10.0
    assert FIELDS.text("name") == "x" and FIELDS.flag("on") is True
    assert FIELDS.texts("names") == ["a", "b"] and FIELDS.numbers("scores", "iuf") == [0.5, 1.0]
    assert FIELDS.integer("absent", 0, 9) is None and FIELDS.texts("absent") is None
    assert "count" in FIELDS and "absent" not in FIELDS
    assert FIELDS.under("").integer("m.count", 0, 9) == 4


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: FIELDS.integer("count", 5, 9), r"`m\.count` must be a whole .* 5 \.\. 9\. Got: 4"),
        (lambda: FIELDS.integer("rate", 0, 9), r"a whole number of 0 \.\. 9\. Got: 0\.5"),
        (lambda: FIELDS.integer("on", 0, 9), "Got: True"),
        (lambda: FIELDS.integer("mixed", 0, 9), r"the same number for every layer\. Got: \[4, 2\]"),
        (lambda: FIELDS.integer("none", 0, 9), r"`m\.none` must be a whole number"),
        (lambda: FIELDS.number("nan", 0, 9), r"must be a number of 0 \.\. 9\. Got: nan"),
        (lambda: FIELDS.number("name", 0, 9), r"must be a number of 0 \.\. 9\. Got: 'x'"),
        (lambda: FIELDS.text("count"), r"`m\.count` must be a text\. Got: 4"),
        (lambda: FIELDS.flag("count"), r"must be true or false\. Got: 4"),
        (lambda: FIELDS.texts("scores"), r"must be a list of texts\. Got: \[0\.5, 1\.0\]"),
        (lambda: FIELDS.numbers("scores", "iu"), r"must be a list of whole numbers"),
        (lambda: FIELDS.require("absent", None), r"the setting `m\.absent` is missing"),
    ],
)
def test_other_values_are_named(read: Callable[[], Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read()
