from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem_export.errors import ConfigError
from tandem_export.graphs import BuildOptions
from tandem_export.serving import ClientOptions
from tandem_export.targets import SavedModelOptions
from tandem_export.values import are_words, is_real, is_whole


def test_whole_numbers() -> None:
    assert is_whole(3, 3) and is_whole(np.int32(4), 3, 4) and is_whole(2**31 - 1, 0)
    assert not any(is_whole(value, 0) for value in (True, 1.0, "1", None, -1, 2**31, [1]))


def test_real_numbers() -> None:
    assert is_real(0.5, 0, 1) and is_real(1, 0, 1) and is_real(np.float32(0.5), 0, 1)
    odd = (float("nan"), float("inf"), True, "0.5", None, 1.5, (0.5,))
    assert not any(is_real(value, 0, 1) for value in odd)
    assert not is_real(float("inf"), 0, float("inf"))


def test_words() -> None:
    assert are_words(()) and are_words(("a", "b"))
    assert not any(are_words(value) for value in ("ab", ["a"], ("a", 1), None))


ODD: list[tuple[Any, str, Any, str]] = [
    (ClientOptions, "deadline", "2", r"above 0, at most 86400 seconds. Got: '2'"),
    (ClientOptions, "deadline", float("nan"), "Got: nan"),
    (ClientOptions, "backoff", 1e300, r"Got: 1e\+300"),
    (ClientOptions, "retries", 2.5, r"at least 0, at most 20. Got: 2.5"),
    (ClientOptions, "retries", 10**9, "Got: 1000000000"),
    (ClientOptions, "root_certificates", 5, "must be a PEM file. Got: '5'"),
    (ClientOptions, "root_certificates", "a" * 5000, "must be a PEM file. Got: 'aaa"),
    (SavedModelOptions, "slots", "8", "must be at least 1, a whole number. Got: .8."),
    (SavedModelOptions, "version", True, "Got: True"),
    (SavedModelOptions, "model", 'x" base_path: "/', "must be a name of letters"),
    (SavedModelOptions, "stablehlo_version", 1.1, "must be X.Y.Z, .* Got: 1.1"),
    (BuildOptions, "batch", (None,), r"must be increasing, .* Got: \(None,\)"),
    (BuildOptions, "gamma", 3, "must be increasing, distinct and at least 1. Got: 3"),
    (BuildOptions, "prompt", (2.0, 4.0), r"Got: \(2.0, 4.0\)"),
    (BuildOptions, "platforms", "cpu", "must be sorted, not empty. Got: 'cpu'"),
    (BuildOptions, "cache", 512.0, "must be at least the longest .* Got: 512.0"),
    (BuildOptions, "cache", 2**40, "Got: 1099511627776"),
    (BuildOptions, "max_new", None, "must be at least 1. Got: None"),
    (BuildOptions, "generate_gamma", 0, "must be at least 1. Got: 0"),
    (BuildOptions, "roles", [["round"]], "must be from .* Got: "),
]


@pytest.mark.parametrize(("record", "name", "value", "text"), ODD)
def test_an_option_of_another_type_is_named(record: Any, name: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^`{name}` .*{text}"):
        record(**{name: value})


def test_what_is_no_saved_model_is_named(tmp_path: Path) -> None:
    from tandem_export.errors import ServingError
    from tandem_export.serving import LocalModel

    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ServingError, match=r"must be a SavedModel that TensorFlow can load. Got: "):
        LocalModel(tmp_path)
