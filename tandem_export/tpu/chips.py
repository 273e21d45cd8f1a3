"""The TPU v5e, and the slices of it that can be planned for.

Figures of one chip from https://cloud.google.com/tpu/docs/v5e; `hbm_bytes` is what the TPU compiler
itself allows (libtpu 0.0.52 refuses a program above 15.75 GiB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tandem_export.errors import ConfigError

Storage = Literal["bfloat16", "int8"]
BYTES: dict[str, int] = {"bfloat16": 2, "int8": 1}


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice of v5e chips.

    Attributes:
      name: `v5e-1`, `v5e-4`, `v5e-8`.
      topology: its name at the compiler.
      chips: how many.
      hbm_bytes: per chip, what a program may use.
      bandwidth: of a chip's HBM, bytes per second.
      flops: of a chip in bfloat16, per second.
      vmem_bytes: on-chip memory.
      clock: of a chip, cycles per second: 4 MXUs x 128 x 128 multiply-adds make `flops`.
    """

    name: str
    topology: str
    chips: int
    hbm_bytes: int = int(15.75 * 2**30)
    bandwidth: float = 819e9
    flops: float = 197e12
    vmem_bytes: int = 128 * 2**20
    clock: float = 1.5e9

    def balance(self, storage: Storage) -> int:
        """Returns the rows at which a weight's matmul is no longer bound by memory: 240, 120 int8.

        A weight of b bytes is read in b / bandwidth and used in 2 flops a row: rows = flops * b /
        (2 * bandwidth). The weight is widened to bfloat16 in the chip, so int8 halves the bytes and
        leaves the flops.
        """
        return int(self.flops * BYTES[storage] / (2 * self.bandwidth) / 10) * 10


SLICES = {
    each.name: each
    for each in (
        Slice(name="v5e-1", topology="v5e:1x1", chips=1),
        Slice(name="v5e-4", topology="v5e:2x2", chips=4),
        Slice(name="v5e-8", topology="v5e:2x4", chips=8),
    )
}


def slice_named(name: str) -> Slice:
    """Returns the slice `name`; `v5e` is one chip.

    Raises:
      ConfigError: there is none; the text lists those that exist.
    """
    found = SLICES.get("v5e-1" if name == "v5e" else name)
    if found is None:
        raise ConfigError(f"`chip` must be one of {['v5e', *SLICES]}. Got: {name!r}")
    return found
