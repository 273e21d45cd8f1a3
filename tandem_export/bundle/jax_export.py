"""How the `jax_export` form of a graph is stored without a second copy of its module.

A serialized `jax.export.Exported` is a flatbuffer around the very bytes of the portable StableHLO
artifact. The artifact is its own file, for any StableHLO consumer; the `jax_export` file holds the
rest: what stands before and after it. Measured on a decoder of 6 layers: 49 kB serialized, of them
35 kB module; the rest, 14 kB of calling convention, deflates to 3 kB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from tandem_export.errors import BundleError

_LENGTH = 8
# 14 kB for 6 layers, growing with the number of arguments: 1 MB is that of 400 layers.
INFLATED_LIMIT = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One graph for one platform: a serialized `jax.export.Exported`, the module inside it."""

    jax_export: bytes
    stablehlo: bytes


def split(serialized: bytes, module: bytes) -> bytes:
    """Returns what is left of `serialized` without `module`, deflated.

    Layout before deflating: 8 bytes little-endian length of the first piece, then the first piece,
    then the second.

    Raises:
      BundleError: `module` does not occur exactly once.
    """
    count = serialized.count(module) if module else 0
    if count != 1:
        rule = "the serialized export must hold its module exactly once"
        raise BundleError(f"{rule}. Got: {count} times. Is this jax release supported?")
    head, tail = serialized.split(module)
    return zlib.compress(len(head).to_bytes(_LENGTH, "little") + head + tail, 9)


def join(rest: bytes, module: bytes, *, name: str) -> bytes:
    """Returns the inverse of `split`: the bytes that `jax.export.deserialize` takes.

    Raises:
      BundleError: `rest`, the contents of the file `name`, is not what `split` makes, or would
        inflate to more than `INFLATED_LIMIT` bytes. No more than that is ever inflated.
    """
    plain = _inflate(rest, name)
    size = int.from_bytes(plain[:_LENGTH], "little")
    pieces = plain[_LENGTH:]
    if len(plain) < _LENGTH or size > len(pieces):
        raise BundleError(f"{name!r}: {len(plain)} bytes are too short. Rebuild the bundle.")
    return pieces[:size] + module + pieces[size:]


def _inflate(data: bytes, name: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, INFLATED_LIMIT)
    except zlib.error as error:
        raise BundleError(f"{name!r}: must be a zlib stream. Got: {error}") from error
    if not stream.eof or stream.unused_data:
        rule = f"must be one whole zlib stream of at most {INFLATED_LIMIT} bytes inflated"
        raise BundleError(f"{name!r}: {rule}. Got: more, or less than a stream")
    return plain
