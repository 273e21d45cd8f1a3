from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_export.bundle.artifact import join, split
from tandem_export.errors import BundleError


def test_a_worked_case():
    rest = split(b"head-MODULE-tail", b"MODULE")
    assert zlib.decompress(rest) == b"\x05\0\0\0\0\0\0\0" + b"head-" + b"-tail"
    assert join(rest, b"MODULE") == b"head-MODULE-tail"


@given(head=st.binary(max_size=40), tail=st.binary(max_size=40))
def test_join_is_the_inverse_of_split(head, tail):
    module = b"one module that random bytes do not hold"
    whole = head + module + tail
    assert join(split(whole, module), module) == whole


@pytest.mark.parametrize(
    ("serialized", "module", "count"),
    [(b"none here", b"MODULE", 0), (b"MODULE MODULE", b"MODULE", 2), (b"x", b"", 0)],
    ids=["absent", "twice", "empty"],
)
def test_the_module_must_occur_once(serialized, module, count):
    with pytest.raises(BundleError, match=f"exactly once. Got: {count} times"):
        split(serialized, module)


@pytest.mark.parametrize(
    "rest",
    [b"no stream", zlib.compress(b"1234"), zlib.compress(b"\x09" + b"\0" * 7 + b"short")],
    ids=["not-zlib", "no-length", "too-short"],
)
def test_what_split_did_not_make_is_refused(rest):
    with pytest.raises(BundleError, match="`jax_export` file"):
        join(rest, b"MODULE")
