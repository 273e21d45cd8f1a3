from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_export.bundle.jax_export import INFLATED_LIMIT, join, split
from tandem_export.errors import BundleError


def test_a_worked_case():
    rest = split(b"head-MODULE-tail", b"MODULE")
    assert zlib.decompress(rest) == b"\x05\0\0\0\0\0\0\0" + b"head-" + b"-tail"
    assert join(rest, b"MODULE", name="g.bin") == b"head-MODULE-tail"


@given(head=st.binary(max_size=40), tail=st.binary(max_size=40))
def test_join_is_the_inverse_of_split(head, tail):
    module = b"one module that random bytes do not hold"
    whole = head + module + tail
    assert join(split(whole, module), module, name="g.bin") == whole


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
    with pytest.raises(BundleError, match=r"^'g\.bin': "):
        join(rest, b"MODULE", name="g.bin")


def test_a_bomb_is_not_inflated() -> None:
    deflate = zlib.compressobj(9)
    bomb = b"".join(deflate.compress(b"\0" * 2**24) for _ in range(64)) + deflate.flush()
    assert len(bomb) < 2 * 2**20
    tracemalloc.start()
    with pytest.raises(
        BundleError, match=r"'g\.bin': must be one whole zlib stream of at most 67108"
    ):
        join(bomb, b"MODULE", name="g.bin")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * INFLATED_LIMIT


def test_what_follows_a_stream_is_refused() -> None:
    with pytest.raises(BundleError, match="one whole zlib stream"):
        join(split(b"head-MODULE-tail", b"MODULE") + b"more", b"MODULE", name="g.bin")
