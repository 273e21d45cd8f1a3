from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_export.errors import BundleError, CheckpointError
from tandem_export.storage import JSON_DEPTH, parse_json, read_json, read_json_object

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # No halves of surrogate pairs.
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def parse(data: bytes | str, *, lenient: bool = False) -> Any:
    return parse_json(data, name="a.json", error=CheckpointError, lenient=lenient)


@given(VALUES, st.booleans())
def test_whatever_the_standard_library_writes_comes_back(value: Any, ascii: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii)) == value


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


DEEP = "[" * JSON_DEPTH + "]" * JSON_DEPTH
ODD = {
    "deep": ("[" + DEEP + "]", f"more than {JSON_DEPTH} deep"),
    "deep after a text": ('{"]}]}]}": [' + DEEP + "]}", f"more than {JSON_DEPTH} deep"),
    "deep without an end": ("[" * 10**6, f"more than {JSON_DEPTH} deep"),
    "double": ('{"a": 1, "b": 2, "a": 3}', "the name 'a' occurs 2 times in an object"),
    "nan": ("[NaN]", "NaN is not JSON"),
    "infinity": ("[-Infinity]", "-Infinity is not JSON"),
    "overflow": ("[1e999]", "the number 1e999 is too large"),
    "whole": ("[1" + "0" * 400 + "]", "a whole number has 401 digits"),
    "surrogate": (r'["\ud800"]', "a text holds half of a surrogate pair"),
    "two texts": ("{} {}", "Extra data"),
    "empty": ("", "Expecting value"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "can't decode"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_are_refused(name: str) -> None:
    data, rule = ODD[name]
    with pytest.raises(CheckpointError) as caught:
        parse(data)
    assert str(caught.value).startswith("`a.json`: not a JSON document: ")
    assert rule in str(caught.value)


def test_as_deep_as_allowed_is_read() -> None:
    assert parse('["[[[[", ' + DEEP[1:]) is not None
    assert parse(json.dumps({"text": "[" * 1000})) == {"text": "[" * 1000}


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse(r'["\ud83d\ude00"]') == ["😀"]


def test_lenient_takes_what_python_writes() -> None:
    values = parse('{"a": 1, "a": 2, "b": Infinity, "c": 1e999}', lenient=True)
    assert values == {"a": 2, "b": float("inf"), "c": float("inf")}
    with pytest.raises(CheckpointError, match="more than"):
        parse("[" + DEEP + "]", lenient=True)


def test_a_million_names_of_which_one_is_double_are_refused_at_once() -> None:
    names = [*range(10**5), 10**5 - 1]
    text = "{" + ",".join(f'"{name}":0' for name in names) + "}"
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match="'99999' occurs 2 times"):
        parse(text)
    assert time.perf_counter() - started < 5


def test_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{oops")
    with pytest.raises(BundleError, match=r"^`x.json`: not a JSON document: .* Got: '{oops'$"):
        read_json(tmp_path / "x.json", error=BundleError)
    (tmp_path / "x.json").write_text("[1]")
    assert read_json(tmp_path / "x.json", error=BundleError) == [1]
    with pytest.raises(BundleError, match=r"^`x.json`: must hold a JSON object. Got: \[1\]$"):
        read_json_object(tmp_path / "x.json", error=BundleError)
