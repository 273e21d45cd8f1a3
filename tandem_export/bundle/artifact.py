"""How the `jax_export` form of a graph is stored without a second copy of its module.

A serialized `jax.export.Exported` is a flatbuffer around the very bytes of the portable StableHLO
artifact. The artifact is its own file, for any StableHLO consumer; the `jax_export` file holds the
rest: what stands before and after it. Measured on a decoder of 6 layers: 49 kB serialized, of them
35 kB module; the rest, 14 kB of calling convention, deflates to 3 kB.
"""

from __future__ import annotations

import zlib

from tandem_export.errors import BundleError

_LENGTH = 8


def split(serialized: bytes, module: bytes) -> bytes:
    """What is left of `serialized` without `module`, deflated.

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


def join(rest: bytes, module: bytes) -> bytes:
    """The inverse of `split`: the bytes that `jax.export.deserialize` takes.

    Raises:
      BundleError: `rest` is not what `split` makes.
    """
    try:
        plain = zlib.decompress(rest)
    except zlib.error as error:
        raise BundleError(f"a `jax_export` file must be a zlib stream. Got: {error}") from error
    size = int.from_bytes(plain[:_LENGTH], "little")
    pieces = plain[_LENGTH:]
    if len(plain) < _LENGTH or size > len(pieces):
        raise BundleError(f"a `jax_export` file of {len(plain)} bytes is too short. Rebuild it.")
    return pieces[:size] + module + pieces[size:]
